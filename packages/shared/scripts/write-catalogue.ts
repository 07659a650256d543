// Rewrites the catalogue's tables in the specification: pnpm exec node packages/shared/scripts/write-catalogue.ts
import { readFileSync, writeFileSync } from "node:fs";
import { insertCatalogue } from "./render-catalogue.ts";

const SPECIFICATION = new URL("../../../docs/specs/session-tracing.md", import.meta.url);

writeFileSync(SPECIFICATION, insertCatalogue(readFileSync(SPECIFICATION, "utf8")));
