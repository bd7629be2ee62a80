// The list of models, and the head that all views of one model share.

import { h } from "./dom.js";
import { M } from "./messages.js";

/** Return the address of a view of a model. */
export const link = (name, ...rest) => `#/m/${[name, ...rest].map(encodeURIComponent).join("/")}`;

export function modelsView(context) {
  const { models, documentError } = context;
  const empty = documentError?.message ?? M.noModels;
  return h(
    "div",
    { class: "page" },
    h("h1", { tabindex: "-1" }, M.models),
    models.length ? h("p", { class: "lead" }, M.modelsIntro) : h("p", { class: "alert" }, empty),
    h("ul", { class: "cards" }, models.map((model) => card(context, model))),
  );
}

function card(context, model) {
  const description = h("p", { class: "description" });
  const chips = h("p", { class: "facts" });
  tell(context, model, description, chips);
  return h(
    "li",
    { class: "card model" },
    h("h2", {}, h("a", { href: link(model.name) }, model.name)),
    description,
    chips,
    h(
      "p",
      { class: "actions" },
      model.predict && h("a", { class: "button", href: link(model.name) }, M.tabs.predict),
      model.train && h("a", { class: "button", href: link(model.name, "train") }, M.tabs.train),
    ),
  );
}

async function tell(context, { name }, description, chips) {
  try {
    const found = await context.metadata(name);
    description.textContent = textOf(found.description ?? found.summary);
    const author = textOf(found.author ?? found.authors);
    const facts = [
      found.version && M.version(textOf(found.version)),
      author && M.by(author),
      textOf(found.license),
    ];
    chips.append(...facts.filter(Boolean).map((fact) => h("span", { class: "fact" }, fact)));
  } catch {
    // a model that cannot describe itself can still be tried
  }
}

const textOf = (value) =>
  value === undefined || value === null ? "" : [value].flat().map(named).join(", ");

const named = (one) => (typeof one === "object" ? String(one?.name ?? JSON.stringify(one)) : String(one));

/** Return what stands above each view of a model: its name, facts, and tabs. */
export function modelHead(context, model, current) {
  const description = h("p", { class: "lead" });
  const facts = h("p", { class: "facts" });
  tell(context, model, description, facts);
  const tabs = [
    ["predict", link(model.name), model.predict],
    ["train", link(model.name, "train"), model.train],
    ["jobs", link(model.name, "jobs"), model.train || model.predict],
  ];
  const items = tabs
    .filter(([, , present]) => present)
    .map(([name, href]) => h("a", { href, "aria-current": name === current ? "page" : null }, M.tabs[name]));
  return h(
    "div",
    { class: "head" },
    h("div", { class: "head-title" }, h("h1", { tabindex: "-1" }, model.name), facts),
    description,
    h("nav", { class: "tabs", "aria-label": model.name }, items),
  );
}
