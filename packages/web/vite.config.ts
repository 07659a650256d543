import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Where the development server finds the API: the Worker of a running `valet up`. */
const API = process.env.VALET_URL ?? "http://127.0.0.1:8787";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  build: {
    target: "es2024",
    // Every browser of that target has it, and a script in the page would need a nonce.
    modulePreload: { polyfill: false },
    // `data:` URLs of fonts and styles are not allowed by the page's Content-Security-Policy.
    assetsInlineLimit: 0,
    // The size check reads which files the first page needs.
    manifest: true,
  },
  server: {
    host: "127.0.0.1",
    port: 5173,
    // The Worker checks the origin of changes, which is this server's for the browser.
    proxy: { "/api": { target: API, ws: true, changeOrigin: true, headers: { origin: API } } },
  },
});
