// The form of an operation: its fields, the same values as JSON, errors, and its memory.

import { makeField, parseJson } from "./fields.js";
import { fill, h, newId } from "./dom.js";
import { M } from "./messages.js";
import { ABSENT, Bad, BadValues } from "./request.js";
import { keep, kept } from "./storage.js";

/**
 * Return the form of an operation: {element, values, accept, write, reset, say}.
 *
 * `values()` returns what is to be sent and raises BadValues. `onchange` is called when
 * something changes.
 */
export function makeForm(operation, onchange = () => {}) {
  let quiet = true;
  const key = `deepaas-form:${operation.model}:${operation.method}`;
  const fields = operation.arguments.map((one) => makeField(one, changed));
  const accept = acceptField(operation, changed);
  const shown = fields.filter(({ argument }) => !argument.advanced);
  const hidden = fields.filter(({ argument }) => argument.advanced);
  const more = h(
    "details",
    { class: "more", hidden: !hidden.length },
    h("summary", {}, M.more(hidden.length)),
    h("div", { class: "fields" }, hidden.map(({ element }) => element)),
  );
  const summary = h("div", { class: "alert", role: "alert", hidden: true, tabindex: "-1" });
  const nothing = !fields.length && !accept && h("p", { class: "help" }, M.noArguments);
  const element = h(
    "div",
    { class: "fields" },
    summary,
    shown.map(({ element: one }) => one),
    accept?.element,
    hidden.length ? more : null,
    nothing,
  );
  function changed() {
    if (quiet) return;
    keep(key, plainValues());
    onchange();
  }

  function values() {
    const found = {};
    const messages = {};
    for (const field of fields) {
      try {
        const value = field.read();
        if (value !== ABSENT && !isDefault(field.argument, value)) {
          found[field.argument.name] = value;
        }
      } catch (error) {
        if (!(error instanceof Bad)) throw error;
        messages[field.argument.name] = [error.message];
      }
    }
    if (Object.keys(messages).length) throw new BadValues(messages);
    return found;
  }

  /** Return what can be kept as JSON: no files, no secrets, nothing that is wrong. */
  function plainValues() {
    const found = {};
    for (const { argument, read } of fields) {
      if (argument.kind.startsWith("file") || argument.kind === "password") continue;
      try {
        const value = read();
        if (value !== ABSENT && !isDefault(argument, value)) found[argument.name] = value;
      } catch {
        // not kept
      }
    }
    if (accept?.changed()) found[operation.accept.name] = accept.read();
    return found;
  }

  /** Set the fields that `given` names, and the others back to their defaults. */
  function write(given) {
    for (const { argument, write: put } of fields) {
      if (argument.name in given) put(given[argument.name]);
      else if (!argument.kind.startsWith("file")) put(undefined);
    }
    accept?.write(given[operation.accept.name]);
    if (hidden.some(({ argument }) => argument.name in given)) more.open = true;
    changed();
  }

  function reset() {
    for (const field of fields) {
      field.write(undefined);
      field.say([]);
    }
    accept?.write(undefined);
    say({});
    changed();
  }

  /** Show messages by the argument's name, and go to the first. */
  function say(messages) {
    const lines = [];
    for (const field of fields) {
      const text = messagesOf(messages[field.argument.name]);
      field.say(text);
      if (text.length) lines.push([field, text.join(" ")]);
    }
    const known = new Set(fields.map(({ argument }) => argument.name));
    const rest = Object.entries(messages).filter(([name]) => !known.has(name));
    const count = lines.length + rest.length;
    summary.hidden = count === 0;
    if (!count) return fill(summary);
    const items = [
      ...lines.map(([field, text]) => h("li", {}, linkTo(field), ` ${text}`)),
      ...rest.map(([name, text]) => h("li", {}, `${name}: ${messagesOf(text).join(" ")}`)),
    ];
    fill(summary, h("p", {}, M.fix(count)), h("ul", {}, items));
    if (lines.some(([{ argument }]) => argument.advanced)) more.open = true;
    if (lines.length) lines[0][0].focus();
    else summary.focus();
    return summary;
  }

  function linkTo(field) {
    const go = () => field.focus();
    return h("button", { type: "button", class: "link", onclick: go }, field.argument.label);
  }

  write(kept(key) ?? {});
  quiet = false;
  return { element, values, plainValues, write, reset, say, accept: () => accept?.read() ?? null };
}

function isDefault({ default: preset }, value) {
  return preset !== undefined && JSON.stringify(preset) === JSON.stringify(value);
}

/** Return messages as a list of texts: those of a list or an object are nested. */
function messagesOf(found) {
  if (found === undefined || found === null) return [];
  if (typeof found !== "object") return [String(found)];
  if (Array.isArray(found)) return found.flatMap(messagesOf);
  return Object.entries(found).map(([name, one]) => `${name}: ${messagesOf(one).join(" ")}`);
}

function acceptField({ accept, answers }, onchange) {
  const choices = accept?.choices ?? (accept ? answers.filter((one) => !one.includes("*")) : []);
  if (choices.length < 2) return null;
  const preset = choices.includes(accept.default) ? accept.default : choices[0];
  const short = choices.length <= 3 && choices.every((one) => one.length <= 24);
  const control = (short ? typeButtons : typeSelect)(choices, onchange);
  control.write(preset);
  return {
    element: control.element,
    read: control.read,
    changed: () => control.read() !== preset,
    write: (value) => control.write(choices.includes(value) ? value : preset),
  };
}

function typeButtons(choices, onchange) {
  const name = newId("f");
  const inputs = choices.map((value) => h("input", { type: "radio", name, value, onchange }));
  const labels = inputs.map((input) => h("label", { class: "choice" }, input, input.value));
  const legend = h("legend", {}, h("span", { class: "label" }, M.answerAs));
  return {
    element: h("fieldset", { class: "field" }, legend, h("div", { class: "choices segmented" }, labels)),
    read: () => inputs.find((input) => input.checked).value,
    write: (value) => inputs.forEach((input) => (input.checked = input.value === value)),
  };
}

function typeSelect(choices, onchange) {
  const id = newId("f");
  const options = choices.map((one) => h("option", { value: one }, one));
  const select = h("select", { id, onchange }, options);
  const label = h("label", { for: id }, h("span", { class: "label" }, M.answerAs));
  return {
    element: h("div", { class: "field" }, label, select),
    read: () => select.value,
    write: (value) => (select.value = value),
  };
}

/** Return the same values as JSON to edit: {element, show, apply}. */
export function makeRaw(form) {
  const id = newId("f");
  const error = h("p", { class: "field-error", hidden: true });
  const area = h("textarea", { id, class: "code grows", rows: 8, spellcheck: "false", oninput: apply });
  function apply() {
    try {
      const value = parseJson(area.value || "{}");
      if (value === null || typeof value !== "object" || Array.isArray(value)) {
        throw new Bad(M.notObject);
      }
      error.hidden = true;
      form.write(value);
    } catch (problem) {
      if (!(problem instanceof Bad)) throw problem;
      error.hidden = false;
      error.textContent = problem.message;
    }
  }
  return {
    element: h("div", { class: "field" }, h("label", { for: id }, M.jsonHelp), area, error),
    show() {
      area.value = JSON.stringify(form.plainValues(), null, 2);
      error.hidden = true;
    },
  };
}
