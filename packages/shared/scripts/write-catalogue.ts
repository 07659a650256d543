// Rewrites the tables that are made from code: pnpm exec node packages/shared/scripts/write-catalogue.ts
import { writeFileSync } from "node:fs";
import { readDocuments } from "./documents.ts";

for (const { url, wanted } of readDocuments()) writeFileSync(url, wanted);
