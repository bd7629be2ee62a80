// Remembers the predictions that run in the background: the server keeps no list of them.

const jobsKey = (model) => `deepaas-background:${model}`;

/** Return the background predictions that this tab has begun, newest first. */
export function rememberedJobs(model) {
  try {
    return JSON.parse(sessionStorage.getItem(jobsKey(model)) ?? "[]");
  } catch {
    return [];
  }
}

/** Remember a prediction that has been begun. */
export function rememberJob(model, uuid) {
  try {
    sessionStorage.setItem(jobsKey(model), JSON.stringify([uuid, ...rememberedJobs(model)].slice(0, 50)));
  } catch {
    // nothing is kept
  }
}
