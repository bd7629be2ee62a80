// Starts the page: loads the description of the models, and shows the view that the
// address names.

import { getJson, hasToken, request, setAsker, setToken } from "./api.js";
import { describe } from "./describe.js";
import { button, fill, h, icon, newId } from "./dom.js";
import { M } from "./messages.js";
import { modelsView } from "./models.js";

const READY_PAUSE = 10_000;

const main = document.getElementById("main");
const state = { models: [], metadata: async () => ({}), documentError: null };
let leave = new AbortController();

/** Return {segments, query} of the address's fragment. */
function parseRoute(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const segments = path.split("/").filter(Boolean).map(decodeSafe);
  return { segments, query: new URLSearchParams(query) };
}

function decodeSafe(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The modules of each view, which are fetched all at once and not one after another. */
const MODULES = {
  try: ["try", "form", "fields", "files", "request", "media", "failure"],
  job: ["job", "jobs", "follow", "follow_snippet", "log", "chart", "sparkline", "media", "json", "failure"],
  jobs: ["jobs", "follow", "chart", "sparkline"],
  compare: ["compare", "jobs", "follow", "chart", "sparkline"],
  help: ["help"],
};

function nameOfView({ segments: [first, , place, uuid] }) {
  if (first === "compare" || first === "help") return first;
  if (uuid) return "job";
  return place === "jobs" ? "jobs" : "try";
}

function preload(view) {
  for (const name of MODULES[view]) {
    const href = new URL(`${name}.js`, import.meta.url).href;
    if (document.head.querySelector(`link[href="${href}"]`)) continue;
    document.head.append(h("link", { rel: "modulepreload", href }));
  }
}

async function viewOf({ segments, query }, context) {
  const [first, name, place, uuid] = segments;
  const { tryView } = nameOfView({ segments }) === "try" ? await import("./try.js") : {};
  if (!first) {
    if (state.models.length !== 1) return modelsView(context);
    return tryView(context, state.models[0], "predict", query);
  }
  if (first === "help") return (await import("./help.js")).helpView(context);
  if (first === "compare") return (await import("./compare.js")).compareView(context, query);
  if (first !== "m" || !name) return missing(M.notFound);
  const model = state.models.find((one) => one.name === name);
  if (!model) return missing(state.documentError?.message ?? M.modelMissing(name));
  if (uuid && ["train", "predict"].includes(place)) {
    return (await import("./job.js")).jobView(context, model, place, uuid);
  }
  if (!place) return tryView(context, model, "predict", query);
  if (place === "train") return tryView(context, model, "train", query);
  if (place === "jobs") return (await import("./jobs.js")).jobsView(context, model, query);
  return missing(M.notFound);
}

function missing(text) {
  return h("div", { class: "page" }, h("h1", {}, text), h("p", {}, h("a", { href: "#/" }, M.models)));
}

async function show({ focus = true } = {}) {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const context = { ...state, signal, title: setTitle };
  setTitle("");
  const route = parseRoute(location.hash);
  let view;
  try {
    view = await viewOf(route, context);
  } catch (error) {
    if (signal.aborted) return;
    view = missing(error.message);
  }
  if (signal.aborted) return;
  fill(main, view);
  showHeader(route);
  scrollTo(0, 0);
  if (focus) (main.querySelector("h1") ?? main).focus({ preventScroll: true });
}

function setTitle(text) {
  document.title = text ? `${text} · ${M.title}` : M.title;
}

// -- the header

const dot = h("span", { class: "ready", role: "status" }, h("span", { class: "dot" }), h("span", { class: "ready-text" }));
const header = document.getElementById("header");

function showHeader({ segments }) {
  const current = segments[1] ?? (state.models.length === 1 ? state.models[0].name : "");
  fill(
    header,
    h("a", { class: "brand", href: "#/" }, h("img", { src: "static/icon.svg", alt: "", width: 24, height: 24 }), h("span", {}, M.title)),
    state.models.length > 1 && segments.length ? modelSwitch(current) : null,
    h("span", { class: "spacer" }),
    dot,
    themeButton(),
    button("", () => askForToken(), { class: "quiet only-icon", picture: "key", "aria-label": M.tokenLabel, title: M.tokenLabel }),
    h("a", { class: "quiet button only-icon", href: "#/help", "aria-label": M.help, title: M.help }, icon("help")),
    h("a", { class: "quiet button api-link", href: "../api" }, M.api),
  );
}

function modelSwitch(current) {
  const options = state.models.map(({ name }) => h("option", { value: name }, name));
  if (!current) options.unshift(h("option", { value: "" }, M.models));
  const go = () => (location.hash = select.value ? `#/m/${encodeURIComponent(select.value)}` : "#/");
  const select = h("select", { class: "switcher", "aria-label": M.models, onchange: go }, options);
  select.value = current;
  return select;
}

const THEMES = ["auto", "light", "dark"];
const PICTURES = { auto: "auto", light: "sun", dark: "moon" };

function themeButton() {
  const root = document.documentElement;
  const current = root.dataset.theme ?? "auto";
  const next = () => {
    const theme = THEMES[(THEMES.indexOf(current) + 1) % THEMES.length];
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      if (theme === "auto") localStorage.removeItem("deepaas-theme");
      else localStorage.setItem("deepaas-theme", theme);
    } catch {
      // the choice holds for this visit only
    }
    document.dispatchEvent(new Event("themechange"));
    const fresh = themeButton();
    element.replaceWith(fresh);
    fresh.focus();
  };
  const props = { class: "quiet only-icon", picture: PICTURES[current], "aria-label": M.theme[current], title: M.theme[current] };
  const element = button("", next, props);
  return element;
}

async function watchReadiness() {
  for (;;) {
    if (!document.hidden) await checkReadiness();
    await new Promise((resolve) => setTimeout(resolve, READY_PAUSE));
  }
}

async function checkReadiness() {
  let [look, text] = ["good", M.ready];
  try {
    const { models } = await (await request("v2/health/ready")).json();
    // A model that is ready has a message only if predictions wait for a training.
    if (Object.values(models).some(({ message }) => message)) [look, text] = ["warn", M.onlyTrains];
  } catch (error) {
    [look, text] = error.status ? ["warn", M.notReady] : ["bad", M.unreachable];
  }
  dot.dataset.look = look;
  if (dot.lastChild.textContent !== text) dot.lastChild.textContent = text;
}

// -- the token

/** Ask for a token; `refused` is null unless a call had a wrong one, or none. */
function askForToken(refused = null) {
  const id = newId("f");
  const input = h("input", { id, type: "password", autocomplete: "off", required: true });
  const remember = h("input", { type: "checkbox" });
  const problem = h("p", { class: "field-error", role: "alert" }, refused ? M.tokenWrong : "");
  const forget = hasToken() && button(M.forget, () => {
    setToken("", false);
    dialog.close();
  }, { class: "quiet" });
  const dialog = h(
    "dialog",
    { "aria-labelledby": `${id}-title` },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: `${id}-title` }, refused === null ? M.tokenLabel : M.tokenTitle),
      h("p", { class: "help" }, M.tokenHelp),
      h("div", { class: "field" }, h("label", { for: id }, M.tokenLabel), input, problem),
      h("label", { class: "choice" }, remember, M.tokenRemember),
      h(
        "div",
        { class: "actions end" },
        forget,
        button(M.cancel, () => dialog.close()),
        h("button", { type: "submit", class: "primary", value: "use" }, M.use),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      const used = dialog.returnValue === "use";
      if (used) setToken(input.value.trim(), remember.checked);
      resolve(used);
    });
  });
}

/** Take a token from the address's fragment, once, and remove it there. */
function takeToken() {
  const { segments, query } = parseRoute(location.hash);
  const [given] = segments.filter((one) => one.startsWith("token="));
  const token = given?.slice("token=".length) ?? query.get("token");
  if (!token) return;
  setToken(token, false);
  const path = segments.filter((one) => one !== given).map(encodeURIComponent).join("/");
  history.replaceState(null, "", `#/${path}`);
}

// -- start

async function loadModels() {
  try {
    state.models = describe(await getJson("openapi.json"));
  } catch (error) {
    state.documentError = error.status === 404 ? { message: M.documentMissing } : error;
  }
}

// A model tells about itself in its own time: no view waits for it.
function loadMetadata() {
  const answer = getJson("v2/models/").then(({ models }) => models.map((one) => [nameIn(one), one]));
  answer.catch(() => {});
  state.metadata = async (name) => new Map(await answer).get(name) ?? {};
}

// Authors may set id and name as they like: the link has the name that is served.
function nameIn({ id, links = [] }) {
  const href = links.find(({ rel }) => rel === "self")?.href ?? "";
  return decodeSafe(href.split("/").filter(Boolean).at(-1) ?? id);
}

async function start() {
  setAsker(askForToken);
  takeToken();
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  const route = parseRoute(location.hash);
  preload(nameOfView(route));
  showHeader(route);
  await loadModels();
  loadMetadata();
  addEventListener("hashchange", () => show());
  await show({ focus: false });
  watchReadiness();
}

start();

