// Every text of the page but the help, in English; numbers and dates by the browser's own rules.

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
const whole = new Intl.NumberFormat("en");
const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

const STATUS = {
  queued: "Queued",
  running: "Running",
  done: "Done",
  error: "Failed",
  cancelled: "Cancelled",
};

const HTTP = {
  0: "The server cannot be reached.",
  401: "A token is needed.",
  413: "The file is larger than the server takes.",
  502: "The proxy in front of the server got no answer.",
  503: "The server is busy.",
  504: "The prediction took too long.",
};

/** Return a number as people read it. */
export function num(value) {
  if (typeof value !== "number") return String(value ?? "–");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
  return Number.isInteger(value) ? whole.format(value) : number.format(value);
}

/** Return a size in bytes as people read it. */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit ? value.toPrecision(3) : value} ${units[unit]}`;
}

/** Return seconds as people read them. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** Return how long ago a moment was, or the moment itself when that was long ago. */
export function ago(date) {
  const seconds = (Date.parse(date) - Date.now()) / 1000;
  if (!Number.isFinite(seconds)) return "–";
  if (seconds > -45) return "just now";
  if (seconds > -3600) return relative.format(Math.round(seconds / 60), "minute");
  if (seconds > -86400) return relative.format(Math.round(seconds / 3600), "hour");
  return moment.format(Date.parse(date));
}

/** Return a date and a time. */
export const when = (date) => (date ? moment.format(Date.parse(date)) : "–");

export const M = {
  title: "deepaas",
  models: "Models",
  modelsIntro: "Choose a model to try it, to train it, or to watch it learn.",
  noModels: "This server has no model with a predict or train method.",
  tabs: { predict: "Try", train: "Train", jobs: "Jobs" },
  ready: "Ready",
  notReady: "Not ready",
  onlyTrains: "Training, predictions wait",
  unreachable: "No connection",
  theme: { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" },
  api: "API",
  apiPage: "API in Swagger UI",
  help: "Help",
  version: (text) => `Version ${text}`,
  by: (name) => `by ${name}`,

  input: "Input",
  form: "Form",
  json: "JSON",
  code: "Code",
  output: "Output",
  noArguments: "This method takes no arguments.",
  required: "required",
  above: (value) => `more than ${num(value)}`,
  below: (value) => `less than ${num(value)}`,
  between: (min, max) => `${num(min)} to ${num(max)}`,
  atLeast: (min) => `at least ${num(min)}`,
  atMost: (max) => `at most ${num(max)}`,
  more: (count) => `More options (${count})`,
  answerAs: "Answer as",
  unset: "Not set",
  yes: "Yes",
  no: "No",
  listHelp: "Separate values by commas or lines.",
  listCount: (count) => (count === 1 ? "1 value" : `${whole.format(count)} values`),
  zoneHelp: (zone) => `In your time zone, ${zone}.`,
  notNumber: (text) => `“${text}” is not a number.`,
  notWhole: (text) => `“${text}” is not a whole number.`,
  badJson: (message) => `This is not JSON: ${message}`,
  notObject: "This has to be a JSON object.",
  needed: "This is required.",
  latin1: "A header holds Latin letters only.",
  tooLarge: (bytes, limit) => `${bytes} are too large: this server takes ${limit} at most.`,
  examples: "Examples",
  exampleComes: (name) => `${name} is still being fetched.`,
  exampleFailed: (name) => `${name} could not be fetched. Try it again.`,
  tryExample: (name) => `Use the example ${name}`,
  drop: "Drop a file here, paste one, or",
  dropMany: "Drop files here, paste them, or",
  choose: "choose a file",
  chooseMany: "choose files",
  remove: (name) => `Remove ${name}`,
  jsonHelp: "The same values as JSON. Files stay in the form.",
  predict: "Predict",
  train: "Start training",
  stop: "Stop",
  background: "Run in the background",
  suggestBackground: "This takes a while. You can run it in the background next time.",
  reset: "Reset",
  copyLink: "Copy link",
  copied: "Copied",
  copy: "Copy",
  sending: (percent) => `Sending, ${percent} %`,
  waiting: (time) => `Waiting for the model, ${time}`,
  stopped: "Stopped.",
  fix: (count) => (count === 1 ? "One argument does not fit:" : `${count} arguments do not fit:`),

  noResult: "The model’s answer appears here.",
  resultOf: (model) => `Result of ${model}`,
  inputPicture: "The input picture",
  result: "Result",
  earlier: "Earlier results",
  download: "Download",
  full: "Full size",
  tree: "Tree",
  table: "Table",
  chart: "Chart",
  text: "Text",
  wrap: "Wrap lines",
  open: "Open in a new tab",
  largeJson: (bytes) => `${size(bytes)} of JSON: the beginning is shown. Download it for the rest.`,
  tableRows: (shown, all) => `${whole.format(shown)} of ${whole.format(all)} rows`,
  moreItems: (count) => `Show ${whole.format(count)} more`,
  items: (count) => (count === 1 ? "1 item" : `${whole.format(count)} items`),
  itemsDropped: (count) => `The last ${whole.format(count)} are shown.`,
  streamFailed: (message) => `The model failed after these items: ${message}`,
  emptyAnswer: "The answer is empty.",
  firstBytes: "First 256 bytes",
  others: (count) => `and ${count} more`,
  cannotPlay: "The browser cannot play this type. Download it instead.",

  status: (code) => HTTP[code] ?? `The server answered with status ${code}.`,
  noConnection: "The server cannot be reached.",
  sendingFailed: "The request could not be sent.",
  whereToLook: "The server’s log has the details under this request ID.",
  retryIn: (seconds) => `Try again in ${seconds} s`,
  retry: "Try again",
  failed: "That did not work",

  tokenTitle: "This server needs a token",
  tokenWrong: "The server does not accept this token.",
  tokenLabel: "Token",
  tokenRemember: "Remember it in this tab",
  tokenHelp: "Ask the person who runs this server. The token is never part of an address.",
  use: "Use token",
  cancel: "Cancel",
  forget: "Forget token",

  jobStatus: (status) => STATUS[status] ?? status,
  trainings: "Trainings",
  noTrainings: "No training yet. Start one on the Train tab.",
  noneWith: (status) => `No training is ${STATUS[status]?.toLowerCase() ?? status}.`,
  recent: "Latest trainings",
  all: "All",
  started: "Started",
  took: "Duration",
  progress: "Progress",
  metric: "Metric",
  last: "Last",
  lowest: "Lowest",
  highest: "Highest",
  atStep: (value, step) => `${num(value)} at ${num(step)}`,
  differs: "Arguments",
  select: (name) => `Compare ${name}`,
  compare: (count) => (count ? `Compare ${count}` : "Compare"),
  compareTitle: "Compare trainings",
  compareNeed: "Select two or more trainings to compare.",
  newer: "Newer",
  older: "Older",
  training: (uuid) => `Training ${uuid.slice(0, 8)}`,
  prediction: (uuid) => `Prediction ${uuid.slice(0, 8)}`,
  step: (step, total) => (total ? `Step ${num(step)} of ${num(total)}` : `Step ${num(step)}`),
  left: (text) => `about ${text} left`,
  queuedText: "Waiting for a worker",
  startingText: "Started; no progress reported yet",
  live: "Live",
  reconnecting: (seconds) => `Connection lost; trying again in ${seconds} s`,
  curves: "Curves",
  noMetrics: "This job has reported no metrics.",
  noMetricsYet: "The curves appear when the model reports its first metrics.",
  xAxis: "Horizontal axis",
  x: { step: "step", elapsed: "time since start", date: "clock time" },
  logX: "Log x",
  logY: "Log y",
  smoothing: "Smoothing",
  resetZoom: "Reset zoom",
  csv: "Download CSV",
  summary: (name, count, last, low, at) =>
    `${name}: ${count} points, last ${num(last)}, lowest ${num(low)} at ${num(at)}`,
  log: "Log",
  emptyLog: "Nothing has been printed.",
  newLines: (count) => (count === 1 ? "1 new line" : `${whole.format(count)} new lines`),
  logTail: (count) => `The last ${whole.format(count)} lines are shown. Download the log for all.`,
  filter: "Filter lines",
  matches: (count) => (count === 1 ? "1 line" : `${whole.format(count)} lines`),
  args: "Arguments",
  returned: "Returned value",
  cancelJob: "Cancel",
  deleteJob: "Delete",
  cancelAsk: (name) => `Cancel the ${name.toLowerCase()}? Its processes are killed.`,
  deleteAsk: (name) => `Delete the ${name.toLowerCase()}? Its record, log and results are removed.`,
  keep: "Keep it",
  cancelIt: "Yes, cancel it",
  deleteIt: "Yes, delete it",
  again: "Use these arguments again",
  notify: "Notify me when it ends",
  notified: "You will be notified",
  ended: (name, status) => `${name}: ${STATUS[status]?.toLowerCase() ?? status}`,
  backgroundJobs: "Predictions in the background, from this tab",
  gone: "There is no such job. It may have been removed.",
  notFound: "There is no such page.",
  modelMissing: (name) => `This server has no model named ${name}.`,
  noMethod: (method) => `This model has no ${method} method, or it is turned off.`,
  documentMissing: "The server does not describe its models, so the page has no forms.",
};

/** The languages of the code that makes the same request. */
export const LANGUAGES = { curl: "curl", python: "Python", javascript: "JavaScript" };
