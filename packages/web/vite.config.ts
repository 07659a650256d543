import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/**
 * Where the development server finds the API: at VALET_URL, or else at the `valet up` that was last started on VALET_STATE, or on
 * `.valet` in the root.
 */
function apiUrl(): string {
  const { VALET_URL, VALET_STATE } = process.env;
  if (VALET_URL !== undefined) return VALET_URL;
  const root = join(import.meta.dirname, "../..");
  const connection = join(resolve(root, VALET_STATE ?? ".valet"), "connection.json");
  if (!existsSync(connection)) return "http://127.0.0.1:8787";
  return (JSON.parse(readFileSync(connection, "utf8")) as { url: string }).url;
}

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: {
    alias: {
      // Its version for browsers reads `&amp;` by the DOM's innerHTML, which the page's Trusted Types forbid.
      "decode-named-character-reference": join(import.meta.dirname, "src/conversation/character-references.ts"),
    },
  },
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
    // The Worker compares the origin of changes with the host of the request, so both stay those of this server. Its sign-in link is
    // that of `valet open`, with this server's port.
    proxy: { "/api": { target: apiUrl(), ws: true, changeOrigin: false } },
  },
});
