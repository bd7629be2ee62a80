// The view in which a model is tried or trained: the form beside what comes of it.

import { hasToken, request, root } from "./api.js";
import { announce, button, copyButton, fill, h, segmented, tickBox } from "./dom.js";
import { failureBox } from "./failure.js";
import { makeForm, makeRaw } from "./form.js";
import { duration, LANGUAGES, M, size, when } from "./messages.js";
import { link, modelHead } from "./models.js";
import { BadValues, fileBytes, options, plan, target } from "./request.js";
import { rememberJob } from "./storage.js";

/** Bytes of files from which it is shown how much has been sent. */
const MIN_UPLOAD_BYTES = 1_000_000;

/** Seconds after which a call in the background is suggested. */
const LONG_WAIT = 10;

const MAX_EARLIER = 10;

const earlier = new Map();

// Fetched when they are needed: the form does not wait for them.
const showing = () => import("./result.js");
const writing = () => import("./snippet.js");

export function tryView(context, model, method, query) {
  const operation = model[method];
  context.title(model.name);
  if (!operation) {
    const other = method === "predict" && model.train;
    if (other) return tryView(context, model, "train", query);
    return h("div", { class: "page" }, modelHead(context, model, method), h("p", { class: "alert" }, M.noMethod(method)));
  }
  const output = h("section", { class: "card output", "aria-labelledby": "output-title" });
  const input = inputCard(context, operation, output, query);
  if (method === "predict") emptyOutput(output, model.name);
  else recentTrainings(context, model, output);
  return h("div", { class: "page" }, modelHead(context, model, method), h("div", { class: "columns" }, input, output));
}

function outputTitle(text) {
  return h("h2", { id: "output-title", tabindex: "-1" }, text);
}

function emptyOutput(output, name) {
  const [result] = earlier.get(name) ?? [];
  fill(output, outputTitle(M.output), result ? null : h("p", { class: "empty" }, M.noResult));
  if (result) showResult(output, result, name);
}

async function recentTrainings(context, model, output) {
  fill(output, outputTitle(M.recent));
  const { jobTable } = await import("./jobs.js");
  output.append(jobTable(context, model, { limit: 5, compact: true }));
}

function inputCard(context, operation, output, query) {
  const predicts = operation.method === "predict";
  const background = tickBox(M.background, () => code.update());
  const code = codeView(operation, () => form, () => background.input.checked);
  const form = makeForm(operation, () => code.update());
  const raw = makeRaw(form);
  const given = query.get("values");
  if (given) {
    try {
      form.write(JSON.parse(given));
    } catch {
      // a link that somebody has cut short
    }
  }
  const submit = h("button", { type: "submit", class: "primary" }, predicts ? M.predict : M.train);
  const status = h("p", { class: "help status", role: "status" });
  const progress = h("progress", { max: 1, hidden: true, "aria-label": M.sending(0) });
  const views = { form: form.element, json: raw.element, code: code.element };
  const place = h("div", { class: "view" }, form.element);
  const tabs = segmented({ form: M.form, json: M.json, code: M.code }, (name) => {
    if (name === "json") raw.show();
    if (name === "code") code.show();
    fill(place, views[name]);
  });
  const call = makeCall(context, operation, {
    form, submit, status, progress, output, background: background.input, showForm: () => tabs.choose("form"),
  });
  const copyLink = copyButton(M.copyLink, () => linkTo(operation, form), M.copied);
  const element = h(
    "form",
    { class: "card input", novalidate: true, onsubmit: call, "aria-label": M.input, onkeydown },
    h("div", { class: "card-head" }, h("h2", {}, M.input), tabs.element),
    operation.description && h("p", { class: "help about" }, operation.description),
    place,
    h(
      "div",
      { class: "actions" },
      submit,
      predicts && h("span", { class: "background" }, background.element),
      h("span", { class: "spacer" }),
      h("span", { class: "group" }, button(M.reset, () => form.reset(), { class: "quiet" }), copyLink),
    ),
    progress,
    status,
  );
  function onkeydown(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element.requestSubmit();
  }
  return element;
}

function linkTo(operation, form) {
  const rest = operation.method === "train" ? ["train"] : [];
  const values = encodeURIComponent(JSON.stringify(form.plainValues()));
  return `${location.href.split("#")[0]}${link(operation.model, ...rest)}?values=${values}`;
}

function codeView(operation, form, background) {
  let language = "curl";
  let snippet = null;
  const text = h("pre", { class: "text code", tabindex: "0" });
  const note = h("p", { class: "help", hidden: true });
  const tabs = segmented(LANGUAGES, (name) => {
    language = name;
    update();
  });
  async function show() {
    ({ snippet } = await writing());
    update();
  }
  function update() {
    if (!form() || !snippet) return;
    note.hidden = true;
    try {
      const planned = plan(operation, form().values(), { accept: form().accept(), background: background() });
      text.textContent = snippet(language, planned, root.href, { token: hasToken() });
    } catch (error) {
      if (!(error instanceof BadValues)) throw error;
      const [name, messages] = Object.entries(error.messages)[0];
      note.hidden = false;
      note.textContent = `${name}: ${messages.join(" ")}`;
      text.textContent = "";
    }
  }
  const copy = copyButton(M.copy, () => text.textContent, M.copied);
  const bar = h("div", { class: "card-head" }, tabs.element, copy);
  return { element: h("div", { class: "snippet" }, bar, note, text), show, update };
}

// -- the call

function makeCall(context, operation, parts) {
  let running = null;
  context.signal.addEventListener("abort", () => running?.abort(new Error(M.stopped)));
  return async function call(event) {
    event?.preventDefault();
    if (running) return running.abort(new Error(M.stopped));
    const { form } = parts;
    let planned;
    try {
      form.say({});
      const background = parts.background.checked;
      planned = plan(operation, form.values(), { accept: form.accept(), background });
    } catch (error) {
      if (!(error instanceof BadValues)) throw error;
      parts.showForm();
      return form.say(error.messages);
    }
    running = new AbortController();
    try {
      await run(context, operation, planned, parts, running.signal, call);
    } finally {
      running = null;
    }
  };
}

async function run(context, operation, planned, parts, signal, again) {
  const { submit, status, progress, output, form } = parts;
  const label = submit.textContent;
  submit.textContent = M.stop;
  submit.classList.add("stop");
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  let sent = true;
  const tick = () => {
    if (!sent) return;
    const hint = operation.method === "predict" && seconds() > LONG_WAIT ? ` · ${M.suggestBackground}` : "";
    status.textContent = M.waiting(duration(seconds())) + hint;
  };
  const timer = setInterval(tick, 200);
  const onUpload = fileBytes(planned) < MIN_UPLOAD_BYTES ? null : (done, all) => {
    sent = done >= all;
    progress.hidden = sent;
    progress.value = done / all;
    if (!sent) status.textContent = M.sending(Math.floor((100 * done) / all));
  };
  const clear = setCookies(planned);
  output.setAttribute("aria-busy", "true");
  showing().catch(() => {}); // while the model computes
  try {
    const response = await request(target(planned), { ...options(planned), signal, onUpload });
    await showResponse(context, operation, response, { output, planned, seconds, form });
    status.textContent = "";
  } catch (error) {
    status.textContent = signal.aborted ? M.stopped : "";
    if (context.signal.aborted) return;
    if (!signal.aborted) showFailure(error, { output, form, again, showForm: parts.showForm });
  } finally {
    clear();
    clearInterval(timer);
    progress.hidden = true;
    submit.textContent = label;
    submit.classList.remove("stop");
    output.removeAttribute("aria-busy");
  }
}

// fetch() sends no Cookie header of its own: the browser's cookies are the only way.
function setCookies({ cookies }) {
  const where = `path=${root.pathname}; SameSite=Strict`;
  for (const [name, value] of cookies) document.cookie = `${name}=${value}; ${where}`;
  return () => {
    for (const [name] of cookies) document.cookie = `${name}=; ${where}; Max-Age=0`;
  };
}

async function showResponse(context, operation, response, { output, planned, seconds, form }) {
  const { model, method } = operation;
  if (method === "train" || response.status === 202) {
    const job = await response.json();
    if (method === "predict") rememberJob(model, job.uuid);
    location.hash = link(model, method, job.uuid);
    return;
  }
  const { isStream, nameOf, showStream, typeOf } = await showing();
  const name = nameOf(response, model);
  const facts = { status: response.status, type: typeOf(response), when: new Date().toISOString() };
  facts.ignored = response.headers.get("X-Ignored-Arguments");
  const result = { name, facts, input: pictureOf(planned), values: form.plainValues() };
  if (isStream(response)) {
    const place = h("div", { class: "view" });
    const meta = h("p", { class: "help" }, facts.type);
    fill(output, outputTitle(M.output), meta, place);
    goTo(output);
    result.blob = await showStream(response, place);
    result.shown = place;
  } else {
    const bytes = await response.blob();
    result.blob = bytes.type === facts.type ? bytes : bytes.slice(0, bytes.size, facts.type);
  }
  facts.seconds = seconds();
  facts.size = result.blob.size;
  earlier.set(model, [result, ...(earlier.get(model) ?? [])].slice(0, MAX_EARLIER));
  await showResult(output, result, model);
  goTo(output);
  announce(`${M.result}: ${facts.type}, ${size(facts.size)}`);
}

function pictureOf({ body }) {
  const files = (body?.form ?? []).map(([, value]) => value).filter((value) => value instanceof Blob);
  return files.length === 1 && files[0].type.startsWith("image/") ? files[0] : null;
}

async function showResult(output, result, model) {
  const { blob, name, facts, input } = result;
  const { answerActions, showAnswer } = await showing();
  const shown = result.shown ?? (await showAnswer(blob, name, M.resultOf(model), input));
  const line = [facts.status, facts.type, size(facts.size), duration(facts.seconds)];
  fill(
    output,
    h("div", { class: "card-head" }, outputTitle(M.output), answerActions(blob, name)),
    h("p", { class: "facts" }, line.map((fact) => h("span", { class: "fact" }, fact))),
    shown,
    earlierList(output, result, model),
  );
}

function earlierList(output, current, model) {
  const results = earlier.get(model) ?? [];
  if (results.length < 2) return null;
  const items = results.map((one) => {
    const text = `${when(one.facts.when)} · ${one.facts.type} · ${size(one.facts.size)}`;
    const props = { type: "button", class: "link", onclick: () => showResult(output, one, model) };
    return h("li", {}, one === current ? h("span", { "aria-current": "true" }, text) : h("button", props, text));
  });
  return h("details", { class: "earlier" }, h("summary", {}, `${M.earlier} (${results.length})`), h("ol", {}, items));
}

function goTo(output) {
  const title = output.querySelector("h2");
  title.focus({ preventScroll: true });
  const { top } = output.getBoundingClientRect();
  if (top > innerHeight * 0.6 || top < 0) output.scrollIntoView({ block: "start" });
}

// -- failures

function showFailure(error, { output, form, again, showForm }) {
  if (error.status === 422 && error.body && !error.body.message) {
    showForm();
    return form.say(unnested(error.body));
  }
  const box = failureBox(error);
  if (error.retryAfter) box.append(countdown(error.retryAfter, again));
  fill(output, outputTitle(M.failed), box);
  output.scrollIntoView({ block: "nearest" });
}

// Some messages come under the name of their place: {"form": {"name": [...]}}.
function unnested(body) {
  const places = ["json", "form", "query", "querystring", "headers", "cookies", "files"];
  const entries = Object.entries(body).flatMap(([name, value]) =>
    places.includes(name) && value && typeof value === "object" && !Array.isArray(value)
      ? Object.entries(value)
      : [[name, value]],
  );
  return Object.fromEntries(entries);
}

function countdown(seconds, again) {
  let left = Math.ceil(seconds);
  const retry = button(M.retryIn(left), () => again(), {});
  const timer = setInterval(() => {
    left -= 1;
    if (!retry.isConnected) clearInterval(timer);
    else if (left > 0) retry.lastChild.textContent = M.retryIn(left);
    else {
      clearInterval(timer);
      retry.lastChild.textContent = M.retry;
    }
  }, 1000);
  return retry;
}
