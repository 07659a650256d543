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

/** What fewer bytes are shared by the same pages joins what others share, bytes before they are minified. */
const SHARED_BYTES = 4_000;

function shortName(name: string): string {
  return name.includes("~") ? "shared" : "[name]";
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
    rolldownOptions: {
      output: {
        // A shared chunk is named after all that share it, with characters that not every server of files takes.
        chunkFileNames: ({ name }) => `assets/${shortName(name)}-[hash].js`,
        assetFileNames: ({ names: [name = ""] }) => `assets/${shortName(name)}-[hash][extname]`,
        codeSplitting: {
          groups: [
            {
              // What pages share comes in a few files, by which of them need it: each small file is a request before the first rows.
              name: "shared",
              minShareCount: 2,
              entriesAware: true,
              entriesAwareMergeThreshold: SHARED_BYTES,
            },
          ],
        },
      },
    },
  },
  server: {
    host: "127.0.0.1",
    port: 5173,
    // The Worker compares the origin of changes with the host of the request, so both stay those of this server. Its sign-in link is
    // that of `valet open`, with this server's port.
    proxy: { "/api": { target: apiUrl(), ws: true, changeOrigin: false } },
  },
});
