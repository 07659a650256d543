// Writes the types of the API's client in `packages/web` anew, from the Worker's own OpenAPI document:
//
//     pnpm exec node scripts/write-web-api.ts
//
// `tests/openapi-client.test.ts` says when they are out of date.
import { writeFile } from "node:fs/promises";
import { generateApiTypes, WEB_API_TYPES } from "../tests/api-types.ts";

await writeFile(WEB_API_TYPES, await generateApiTypes());
