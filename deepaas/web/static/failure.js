// Shows what has failed: the message, and the request to look for in the server's log.

import { copyButton, h } from "./dom.js";
import { M } from "./messages.js";

/** Return the box that says what has failed. */
export function failureBox(error) {
  const server = error.status >= 500;
  const id = error.requestId;
  const lines = error.body && !error.body.message ? JSON.stringify(error.body, null, 2) : "";
  return h(
    "div",
    { class: "alert", role: "alert" },
    h("p", {}, h("strong", {}, error.message)),
    lines ? h("pre", { class: "text wrap" }, lines) : null,
    error.status ? h("p", { class: "help" }, `HTTP ${error.status}`) : null,
    id && server ? h("p", { class: "help" }, M.whereToLook) : null,
    id ? h("p", { class: "request-id" }, h("code", {}, id), copyButton(M.copy, id, M.copied)) : null,
  );
}
