/** The documents that hold tables made from code, and which. */
import { readFileSync } from "node:fs";
import { insertBetween } from "./markdown.ts";
import { renderBoundaries, renderCatalogue } from "./render-catalogue.ts";
import { renderTracingVariables, renderVariables } from "./render-variables.ts";

const TABLES = {
  "docs/specs/session-tracing.md": {
    propagation: renderBoundaries,
    configuration: renderTracingVariables,
    catalogue: renderCatalogue,
  },
  "docs/deploy.md": { variables: renderVariables },
} as const;

const ROOT = new URL("../../../", import.meta.url);

export interface GeneratedDocument {
  readonly path: string;
  readonly url: URL;
  readonly now: string;
  /** With the tables as the code has them. */
  readonly wanted: string;
}

/** @throws Error when a document lacks the markers of one of its tables */
export function readDocuments(): GeneratedDocument[] {
  return Object.entries(TABLES).map(([path, tables]) => {
    const url = new URL(path, ROOT);
    const now = readFileSync(url, "utf8");
    const entries = Object.entries<() => string>(tables);
    return {
      path,
      url,
      now,
      wanted: entries.reduce((text, [name, render]) => insertBetween(name, text, render()), now),
    };
  });
}
