// Keeps things until the tab is closed, or nothing where the browser refuses that.

/** Return what is kept under a name, or null. */
export function kept(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name));
  } catch {
    return null;
  }
}

/** Keep a value in place of the one before; null keeps nothing. */
export function keep(name, value) {
  try {
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    // refused, or full
  }
}

const jobsName = (model) => `deepaas-background:${model}`;

/** Return the background predictions that this tab has begun, newest first: the server
 * keeps no list of them. */
export const rememberedJobs = (model) => kept(jobsName(model)) ?? [];

export const rememberJob = (model, uuid) => keep(jobsName(model), [uuid, ...rememberedJobs(model)].slice(0, 50));
