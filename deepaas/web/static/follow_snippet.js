// Writes code that follows a job, as curl and as Python.

import { LANGUAGES } from "./messages.js";

/** Quote a text for a POSIX shell. */
export const quoteShell = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;

/** Return [language, code] pairs that follow a job; `url` ends in a slash. */
export function followSnippets(url, { kind, token = false }) {
  const header = token ? '-H "Authorization: Bearer $TOKEN" ' : "";
  const shell = [
    `job=${quoteShell(url)}`,
    `curl -N ${header}"\${job}events"`,
    `curl -N ${header}"\${job}log?follow=1"`,
    kind === "predict" ? `curl ${header}-o result "\${job}result"` : `curl ${header}"\${job}metrics"`,
  ];
  const headers = token ? `, headers={"Authorization": f"Bearer {os.environ['TOKEN']}"}` : "";
  const imports = [...(token ? ["import os"] : []), "import requests"];
  const plot = [
    "import matplotlib.pyplot as plt",
    ...imports,
    "",
    `url = ${JSON.stringify(url)}`,
    `curve = requests.get(url + "metrics"${headers}).json()`,
    'for name in curve.keys() - {"step", "total", "date"}:',
    '    plt.plot(curve["step"], curve[name], label=name)',
    "plt.legend()",
    'plt.savefig("curves.png")',
  ];
  const result = [
    ...imports,
    "",
    `response = requests.get(${JSON.stringify(`${url}result`)}${headers})`,
    "response.raise_for_status()",
    'open("result", "wb").write(response.content)',
  ];
  return [
    [LANGUAGES.curl, shell.join("\n")],
    [LANGUAGES.python, (kind === "predict" ? result : plot).join("\n")],
  ];
}
