// Makes the input of one argument: what a person types becomes a value, or a message.

import { fileField } from "./files.js";
import { button, h, newId } from "./dom.js";
import { M } from "./messages.js";
import { ABSENT, Bad } from "./request.js";

/**
 * Return the field of an argument: {element, read, write, say, focus}.
 *
 * `read` returns a value or ABSENT, or raises Bad. `write(undefined)` brings back the
 * default. `say` shows messages; none clears them.
 */
export function makeField(argument, onchange) {
  const ids = { input: newId("f"), help: newId("h"), error: newId("e") };
  const control = chooseControl(argument, ids, onchange, say);
  const error = h("p", { class: "field-error", id: ids.error, hidden: true });
  const help = helpFor(argument);
  const group = control.group;
  const label = h(
    group ? "legend" : "label",
    group ? {} : { for: ids.input },
    h("span", { class: "label" }, argument.label),
    argument.unit && h("span", { class: "unit" }, ` (${argument.unit})`),
    argument.required && h("span", { class: "required" }, M.required),
  );
  const element = h(
    group ? "fieldset" : "div",
    { class: "field", "data-name": argument.name },
    label,
    help && h("p", { class: "help", id: ids.help }, help),
    control.element,
    exampleButtons(argument, (value) => control.write(value)),
    error,
  );
  const inputs = () => [...element.querySelectorAll("input, select, textarea, button")];
  const described = [help && ids.help, ids.error].filter(Boolean).join(" ");
  for (const input of group ? [element] : inputs().slice(0, 1)) {
    input.setAttribute("aria-describedby", described);
  }
  control.write(undefined);
  return {
    argument,
    element,
    read: () => checked(argument, control.read()),
    write: (value) => control.write(value),
    focus: () => inputs()[0]?.focus(),
    id: ids.input,
    say,
  };

  function say(messages) {
    error.hidden = !messages.length;
    error.textContent = messages.join(" ");
    for (const input of inputs().slice(0, 1)) {
      if (messages.length) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
  }
}

function checked(argument, value) {
  if (value === ABSENT && argument.required) throw new Bad(M.needed);
  return value;
}

function chooseControl(argument, ids, onchange, say) {
  if (argument.kind.startsWith("file")) return fileField(argument, ids, onchange, say);
  const kinds = {
    bool: boolField,
    number: numberField,
    choice: choiceField,
    choices: choicesField,
    list: listField,
    object: objectField,
    json: jsonField,
    any: anyField,
    password: passwordField,
    text: textField,
  };
  return kinds[argument.kind](argument, ids, onchange);
}

function helpFor(argument) {
  const { description, kind, min, max, above, below, zone } = argument;
  const said = [description && sentence(description)];
  const limits = [
    above === null ? null : M.above(above),
    min === null || max !== null ? null : M.atLeast(min),
    min === null || max === null ? null : M.between(min, max),
    max === null || min !== null ? null : M.atMost(max),
    below === null ? null : M.below(below),
  ].filter(Boolean);
  if (limits.length) said.push(sentence(limits.join(", ").replace(/^./, (c) => c.toUpperCase())));
  if (kind === "list") said.push(M.listHelp);
  if (zone) said.push(M.zoneHelp(Intl.DateTimeFormat().resolvedOptions().timeZone));
  return said.filter(Boolean).join(" ");
}

const sentence = (text) => (/[.!?:)]$/.test(text) ? text : `${text}.`);

const asText = (value) =>
  value === undefined || value === null
    ? ""
    : typeof value === "string"
      ? value
      : JSON.stringify(value);

function exampleButtons(argument, write) {
  if (!argument.examples.length) return null;
  const buttons = argument.examples.map((value) =>
    button(shortened(asText(value)), () => write(value), {
      class: "chip",
      "aria-label": M.tryExample(asText(value)),
    }),
  );
  return h("div", { class: "chips" }, h("span", { class: "help" }, M.examples), buttons);
}

const shortened = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);

function simple(input, argument, read, write) {
  // The browser may write a default in another way: 10:00 for 10:00:00.
  let preset = "";
  return {
    element: input,
    read() {
      if (input.value === "") return ABSENT;
      return input.value === preset ? argument.default : read(input.value);
    },
    write(value) {
      input.value = asText(write(value === undefined ? argument.default : value));
      if (value === undefined) preset = input.value;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    },
  };
}

const same = (value) => value;

function inputProps({ default: preset, maxLength, minLength }, ids, onchange) {
  return {
    id: ids.input,
    oninput: onchange,
    placeholder: preset === undefined || preset === null ? null : asText(preset),
    maxlength: maxLength,
    minlength: minLength,
    autocomplete: "off",
    spellcheck: "false",
  };
}

const DATES = { date: "date", "date-time": "datetime-local", time: "time" };

function textField(argument, ids, onchange) {
  const { name, description, maxLength, widget, format } = argument;
  const props = inputProps(argument, ids, onchange);
  if (DATES[format]) {
    const input = h("input", { ...props, type: DATES[format], step: "any" });
    return argument.zone ? simple(input, argument, withZone, inZone) : simple(input, argument, same, same);
  }
  if (widget === "color") {
    return simple(h("input", { ...props, type: "color" }), argument, same, same);
  }
  const types = { email: "email", uri: "url", url: "url" };
  if (types[format]) {
    return simple(h("input", { ...props, type: types[format] }), argument, same, same);
  }
  const long = /\b(text|prompt|json)\b/i.test(`${name.replaceAll("_", " ")} ${description}`);
  const single = widget !== "textarea" && !long && maxLength !== null && maxLength <= 200;
  if (single || format) {
    return simple(h("input", { ...props, type: "text" }), argument, same, same);
  }
  const tall = long || widget === "textarea" || asText(argument.default).includes("\n");
  const area = h("textarea", { ...props, rows: tall ? 3 : 1, class: "grows" });
  return simple(area, argument, same, same);
}

const twoDigits = (number) => String(Math.trunc(number)).padStart(2, "0");

/** Add the browser's own zone to a date and time, which the browser's picker leaves out. */
export function withZone(text) {
  const east = -new Date(text).getTimezoneOffset();
  const [hours, minutes] = [Math.abs(east) / 60, Math.abs(east) % 60];
  return `${text}${east < 0 ? "-" : "+"}${twoDigits(hours)}:${twoDigits(minutes)}`;
}

/** Write a moment as the picker takes it: in the browser's own zone, without that. */
export function inZone(value) {
  const moment = new Date(value ?? NaN);
  if (Number.isNaN(moment.getTime())) return value;
  return new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 23);
}

function passwordField(argument, ids, onchange) {
  const props = { ...inputProps(argument, ids, onchange), type: "password" };
  return simple(h("input", { ...props, autocomplete: "new-password" }), argument, same, same);
}

function numberField(argument, ids, onchange) {
  const { min, max, above, below, step, integer, widget } = argument;
  const input = h("input", {
    ...inputProps(argument, ids, onchange),
    type: "number",
    min: min ?? above,
    max: max ?? below,
    step: step ?? (integer ? 1 : "any"),
    inputmode: integer ? "numeric" : "decimal",
  });
  const control = simple(input, argument, (text) => readNumber(text, argument), same);
  const read = () => {
    if (input.validity.badInput) throw new Bad(integer ? M.notWhole("…") : M.notNumber("…"));
    return control.read();
  };
  const unit = step ?? (integer ? 1 : (max - min) / 100);
  const few = min !== null && max !== null && max > min && (max - min) / unit <= 1000;
  if (!few && widget !== "slider") return { ...control, read };
  const slider = h("input", {
    type: "range",
    min: min ?? above ?? 0,
    max: max ?? below ?? 100,
    step: unit || "any",
    tabindex: "-1",
    "aria-hidden": "true",
    oninput: () => {
      input.value = String(Number(Number(slider.value).toPrecision(12)));
      onchange();
    },
  });
  input.addEventListener("input", () => (slider.value = input.value || slider.min));
  return { ...control, read, element: h("div", { class: "with-slider" }, input, slider) };
}

function readNumber(text, { integer }) {
  const value = Number(text.trim());
  if (text.trim() === "" || Number.isNaN(value)) throw new Bad(M.notNumber(text));
  if (integer && !Number.isInteger(value)) throw new Bad(M.notWhole(text));
  return value;
}

function boolField(argument, ids, onchange) {
  if (typeof argument.default !== "boolean") {
    const choices = [true, false];
    const names = { true: M.yes, false: M.no };
    return selectField({ ...argument, choices }, ids, onchange, (one) => names[one]);
  }
  const input = h("input", { type: "checkbox", id: ids.input, onchange, class: "switch" });
  return {
    element: input,
    read: () => input.checked,
    write(value) {
      input.checked = value === undefined ? argument.default : value === true;
    },
  };
}

function choiceField(argument, ids, onchange) {
  const short = argument.choices.every((one) => asText(one).length <= 24);
  const radios = argument.choices.length <= 4 && short;
  return (radios ? radioField : selectField)(argument, ids, onchange, asText);
}

function selectField(argument, ids, onchange, nameOf) {
  const { choices, default: preset } = argument;
  const known = choices.findIndex((one) => one === preset);
  const options = choices.map((one, index) => h("option", { value: String(index) }, nameOf(one)));
  if (known < 0) options.unshift(h("option", { value: "" }, M.unset));
  const select = h("select", { id: ids.input, onchange }, options);
  return {
    element: select,
    read: () => (select.value === "" ? ABSENT : choices[Number(select.value)]),
    write(value) {
      const index = choices.indexOf(value === undefined ? preset : value);
      select.value = index < 0 ? (known < 0 ? "" : String(known)) : String(index);
    },
  };
}

function radioField(argument, ids, onchange, nameOf) {
  const { choices, default: preset } = argument;
  const optional = !argument.required && !choices.includes(preset);
  const all = optional ? [ABSENT, ...choices] : choices;
  const inputs = all.map(() => h("input", { type: "radio", name: ids.input, onchange }));
  const labels = inputs.map((input, index) =>
    h("label", { class: "choice" }, input, h("span", {}, all[index] === ABSENT ? M.unset : nameOf(all[index]))),
  );
  return {
    group: true,
    element: h("div", { class: "choices segmented" }, labels),
    read: () => all[inputs.findIndex((input) => input.checked)] ?? ABSENT,
    write(value) {
      const wanted = value === undefined ? preset : value;
      inputs.forEach((input, index) => {
        input.checked = all[index] === wanted;
      });
      if (optional && !inputs.some((input) => input.checked)) inputs[0].checked = true;
    },
  };
}

function choicesField(argument, ids, onchange) {
  const { choices } = argument;
  const inputs = choices.map(() => h("input", { type: "checkbox", onchange }));
  const labels = inputs.map((input, index) =>
    h("label", { class: "choice" }, input, h("span", {}, asText(choices[index]))),
  );
  return {
    group: true,
    element: h("div", { class: "choices" }, labels),
    read() {
      const found = choices.filter((one, index) => inputs[index].checked);
      const preset = Array.isArray(argument.default) && argument.default.length;
      return found.length || preset ? found : ABSENT;
    },
    write(value) {
      const wanted = (value === undefined ? argument.default : value) ?? [];
      inputs.forEach((input, index) => {
        input.checked = [wanted].flat().includes(choices[index]);
      });
    },
  };
}

function listField(argument, ids, onchange) {
  const count = h("span", { class: "help count" });
  const area = h("textarea", {
    ...inputProps(argument, ids, () => {
      showCount();
      onchange();
    }),
    rows: 1,
    class: "grows",
    inputmode: argument.numeric ? "text" : null,
  });
  const read = () => readList(area.value, argument);
  function showCount() {
    let text = "";
    try {
      if (area.value.trim()) text = M.listCount(read().length);
    } catch {
      // said when the form is sent
    }
    count.textContent = text;
  }
  return {
    element: h("div", { class: "counted" }, area, count),
    read: () => (area.value.trim() === "" ? ABSENT : read()),
    write(value) {
      area.value = writeList(value === undefined ? argument.default : value);
      showCount();
    },
  };
}

/** Read a list: JSON, or values between commas, tabs, semicolons or lines. */
export function readList(text, argument) {
  const trimmed = text.trim();
  let items = null;
  if (trimmed.startsWith("[")) {
    try {
      items = JSON.parse(trimmed);
    } catch {
      // read as text, then
    }
  }
  const between = argument.numeric ? /[\s,;]+/ : /[\n,\t]/;
  items ??= trimmed.split(between).map((item) => item.trim()).filter(Boolean);
  if (!argument.numeric) return items.map(asText);
  return items.map((item) => readNumber(String(item), argument));
}

function writeList(value) {
  if (value === undefined || value === null) return "";
  const items = [value].flat();
  const plain = items.every((one) => !/[,\n\t]|^\[|^\s|\s$/.test(asText(one)) && one !== "");
  return plain ? items.map(asText).join(", ") : JSON.stringify(items);
}

function objectField(argument, ids, onchange) {
  const fields = argument.fields.map((one) => makeField(one, onchange));
  return {
    group: true,
    element: h("div", { class: "inner" }, fields.map(({ element }) => element)),
    read() {
      const found = {};
      const optional = !argument.required && !fields.some(isSet);
      if (optional) return ABSENT;
      for (const field of fields) {
        const value = readInner(field);
        if (value !== ABSENT) found[field.argument.name] = value;
      }
      return found;
    },
    write(value) {
      const given = value ?? argument.default ?? {};
      for (const field of fields) field.write(given[field.argument.name]);
    },
  };
}

function isSet(field) {
  try {
    const value = field.read();
    return value !== ABSENT && value !== field.argument.default;
  } catch (error) {
    return error.message !== M.needed;
  }
}

function readInner(field) {
  try {
    field.say([]);
    return field.read();
  } catch (error) {
    if (error instanceof Bad) field.say([error.message]);
    throw error instanceof Bad ? new Bad(`${field.argument.label}: ${error.message}`) : error;
  }
}

function jsonField(argument, ids, onchange) {
  const state = h("span", { class: "help count" });
  const area = h("textarea", {
    ...inputProps(argument, ids, onchange),
    placeholder: argument.kind === "json" ? "{ }" : null,
    rows: 3,
    class: "grows code",
  });
  const read = () => parseJson(area.value);
  area.addEventListener("input", () => {
    try {
      if (area.value.trim()) read();
      state.textContent = "";
    } catch (error) {
      state.textContent = error.message;
    }
  });
  area.addEventListener("blur", () => {
    try {
      if (area.value.trim()) area.value = JSON.stringify(read(), null, 2);
    } catch {
      // stays as it was typed
    }
  });
  return {
    element: h("div", {}, area, state),
    read: () => (area.value.trim() === "" ? ABSENT : read()),
    write(value) {
      const given = value === undefined ? argument.default : value;
      area.value = given === undefined || given === null ? "" : JSON.stringify(given, null, 2);
      state.textContent = "";
    },
  };
}

/** Read JSON. Raises Bad with the place of the mistake. */
export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Bad(M.badJson(error.message));
  }
}

/** A value of any type: what is JSON is that, all else a text. */
function anyField(argument, ids, onchange) {
  const area = h("textarea", { ...inputProps(argument, ids, onchange), rows: 1, class: "grows" });
  const read = (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  };
  return simple(area, argument, read, same);
}

