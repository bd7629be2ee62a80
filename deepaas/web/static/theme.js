// Applies the chosen theme before anything is painted.
"use strict";
try {
  const theme = localStorage.getItem("deepaas-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // no storage: the system's theme
}
