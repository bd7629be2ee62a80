// What modules of the page expect of a browser, for node.

const storage = () => {
  const kept = new Map();
  return {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => kept.set(name, String(value)),
    removeItem: (name) => kept.delete(name),
  };
};

globalThis.location = new URL("http://127.0.0.1/a/ui/#/");
globalThis.sessionStorage = storage();
globalThis.document = {};
