// The help: what each view is for, the keys, and where the API is described.

import { card, h } from "./dom.js";
import { M } from "./messages.js";

/** The sections of the help: a title and paragraphs; words between ` are code. */
const HELP = [
  [
    "Try a model",
    "Fill in the form and press Predict, or `Ctrl+Enter`. Drop a file on its field, paste one, or choose one; a button beside the field fills in an example of the author’s.",
    "An argument that you do not change is not sent: the model uses its default. JSON shows the same values to edit, Code the same request for curl, Python and JavaScript.",
    "A prediction that takes long can run in the background. It becomes a job, and its result stays on the server when you close the page.",
  ],
  [
    "Train a model and watch it",
    "Start training opens the page of the training: progress, curves of what the model reports, and its log. Drag in a curve to zoom in; double-click to see all of it.",
    "You can close the page: the training goes on. Jobs lists all trainings. Select two or more to compare them.",
  ],
  [
    "Keys",
    "`Tab` moves between fields and buttons, `Enter` presses them, the arrow keys choose. The first `Tab` offers to skip to the content.",
  ],
  [
    "Token",
    "A server with tokens asks for one. It stays in this tab and is never part of an address.",
  ],
];

export function helpView(context) {
  context.title(M.help);
  const sections = HELP.map(([title, ...texts]) => card(title, texts.map(paragraph)));
  const links = h(
    "p",
    { class: "actions" },
    h("a", { class: "button", href: "#/" }, M.models),
    h("a", { class: "button", href: "../api" }, M.apiPage),
    h("a", { class: "button", href: "../openapi.json" }, "OpenAPI 3.1"),
  );
  return h("div", { class: "page" }, h("h1", { tabindex: "-1" }, M.help), links, sections);
}

/** Return a paragraph; words between ` are code. */
function paragraph(text) {
  const parts = text.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));
  return h("p", {}, parts);
}
