// Sets the theme before the first paint: the stored choice, or else the system's. A file, since the page allows no inline script.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("valet.theme");
  } catch {
    // Without storage, the system's theme holds.
  }
  const isDark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
})();
