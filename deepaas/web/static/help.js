// The help: what each view is for, the keys, and where the API is described.

import { h } from "./dom.js";
import { HELP, M } from "./messages.js";

export function helpView(context) {
  context.title(M.help);
  const sections = HELP.map(([title, ...texts]) =>
    h("section", { class: "card" }, h("h2", {}, title), texts.map(paragraph)),
  );
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
