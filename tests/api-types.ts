/** The types that `openapi-typescript` makes of the Worker's OpenAPI document. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The package of the generator, which needs another compiler than the rest of the workspace. */
export const GENERATOR = new URL("generated-client/", import.meta.url);
/** Where the session explorer has these types. `scripts/write-web-api.ts` writes them. */
export const WEB_API_TYPES = new URL("../packages/web/src/api/schema.d.ts", import.meta.url);

/** In a process of its own, since the Worker's types are not those of Node. */
const PRINT_DOCUMENT = `
  import { createApp } from ${JSON.stringify(new URL("../packages/worker/src/http/app.ts", import.meta.url))};
  process.stdout.write(await (await createApp().request("https://valet.test/api/openapi.json")).text());
`;

/** Returns the path of one of the generator's programs. */
export function generatorProgram(name: string): string {
  return fileURLToPath(new URL(`node_modules/.bin/${name}`, GENERATOR));
}

/** Returns the types of the API as it is now. */
export async function generateApiTypes(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "valet-api-types-"));
  try {
    const { stdout: document } = await run(process.execPath, ["--input-type=module", "--eval", PRINT_DOCUMENT]);
    await writeFile(join(folder, "openapi.json"), document);
    await run(generatorProgram("openapi-typescript"), ["openapi.json", "-o", "api.d.ts"], { cwd: folder });
    return await readFile(join(folder, "api.d.ts"), "utf8");
  } finally {
    await rm(folder, { recursive: true });
  }
}
