// The input of a file argument: drop, paste, choose, or an example of the author's.

import { address, request } from "./api.js";
import { button, fill, h } from "./dom.js";
import { preview } from "./media.js";
import { M, size } from "./messages.js";
import { ABSENT, Bad } from "./request.js";

const PICTURES = /\.(png|jpe?g|gif|webp|avif|svg)$/i;

/** Bytes up to which an example is fetched to show it on its button. */
const MAX_THUMB_BYTES = 256 * 1024;

/** Return the control of a file argument, as fields.js describes controls and `say`. */
export function fileField(argument, ids, onchange, say) {
  const many = argument.kind === "files";
  let files = [];
  const coming = new Set(); // names of examples that are being fetched
  const input = h("input", {
    type: "file",
    id: ids.input,
    class: "visually-hidden",
    multiple: many,
    accept: argument.media,
    onchange: () => take([...input.files]),
  });
  const chosen = h("ul", { class: "files" });
  const zone = h(
    "div",
    { class: "drop", tabindex: "-1", ondragover, ondragleave, ondrop, onpaste },
    h("p", {}, many ? M.dropMany : M.drop, " ", chooseButton(input, many)),
    captureButton(argument, input),
    input,
  );

  async function useExample(name, url) {
    coming.add(name);
    const file = await fetchExample(name, url).catch(() => null);
    coming.delete(name);
    say(file ? [] : [M.exampleFailed(name)]);
    if (file) take([file]);
  }

  function take(found) {
    if (!found.length) return;
    files = many ? [...files, ...found] : [found[0]];
    input.value = "";
    show();
    onchange();
  }

  function show() {
    zone.classList.toggle("filled", files.length > 0 && !many);
    fill(chosen, files.map(shown));
  }

  function shown(file) {
    const remove = () => {
      files = files.filter((one) => one !== file);
      show();
      onchange();
      input.focus();
    };
    return h(
      "li",
      {},
      preview(file),
      h("span", { class: "file-name" }, file.name, h("small", {}, size(file.size))),
      button("", remove, { class: "quiet only-icon", picture: "close", "aria-label": M.remove(file.name) }),
    );
  }

  function ondragover(event) {
    event.preventDefault();
    zone.classList.add("over");
  }
  function ondragleave() {
    zone.classList.remove("over");
  }
  function ondrop(event) {
    event.preventDefault();
    zone.classList.remove("over");
    take([...event.dataTransfer.files]);
  }
  function onpaste(event) {
    if (event.clipboardData.files.length) {
      event.preventDefault();
      take([...event.clipboardData.files]);
    }
  }

  return {
    element: h("div", {}, chosen, zone, exampleFiles(argument, useExample)),
    take,
    read() {
      const [name] = coming;
      if (name) throw new Bad(M.exampleComes(name));
      return files.length ? (many ? files : files[0]) : ABSENT;
    },
    write(value) {
      files = value === undefined || value === null ? [] : [value].flat();
      show();
    },
  };
}

// The label of a hidden input is clicked by a mouse; the input itself has the keyboard.
function chooseButton(input, many) {
  return h("span", { class: "link", onclick: () => input.click() }, many ? M.chooseMany : M.choose);
}

function captureButton({ media }, input) {
  const kind = /^(image|video|audio)\//.exec(media ?? "")?.[1];
  if (!kind || !matchMedia("(pointer: coarse)").matches) return null;
  const capture = () => {
    input.setAttribute("capture", "environment");
    input.click();
    input.removeAttribute("capture");
  };
  const words = { image: "Take a picture", video: "Record a video", audio: "Record sound" };
  return button(words[kind], capture, { class: "quiet" });
}

function exampleFiles({ fileExamples }, use) {
  if (!fileExamples.length) return null;
  const buttons = fileExamples.map(({ name, url }) => {
    const label = M.tryExample(name);
    const element = button(name, () => use(name, url), { class: "chip example", "aria-label": label });
    if (PICTURES.test(name)) {
      fetchExample(name, url, MAX_THUMB_BYTES).then((file) => element.prepend(preview(file)), () => {});
    }
    return element;
  });
  return h("div", { class: "chips" }, h("span", { class: "help" }, M.examples), buttons);
}

const loaded = new Map();

/** Fetch an example, once; raises RangeError for one that is over `limit` bytes. */
function fetchExample(name, url, limit = Infinity) {
  const place = address(url.replace(/^\/+/, ""));
  if (!loaded.has(place)) {
    const file = request(place).then(async (response) => {
      if (Number(response.headers.get("Content-Length")) > limit) {
        await response.body.cancel();
        throw new RangeError(name);
      }
      const blob = await response.blob();
      return new File([blob], name, { type: blob.type });
    });
    file.catch(() => loaded.delete(place));
    loaded.set(place, file);
  }
  return loaded.get(place);
}
