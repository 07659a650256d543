/** A system whose databases a test fills: see `seeding-worker.ts`. */
import { join } from "node:path";
import { ApiClient } from "../../packages/cli/src/api-client.ts";
import { startSystem } from "../../packages/cli/src/system/system.ts";
import { makeToken } from "../../packages/worker/src/database/setup.ts";
import { type Explorer, explore } from "./page.ts";
import { SEED_PATH, type Seed } from "./seeds.ts";

/** The owner of the token of a local system. */
export const OWNER = "local";

export interface SeededExplorer extends Explorer {
  /** Stores what is given beside what is there. */
  seed(seed: Partial<Seed>): Promise<void>;
  /** Returns the API as another owner sees it, and that owner's token. */
  addOwner(ownerId: string): Promise<{ readonly api: ApiClient; readonly token: string }>;
}

/** @param variables for the system, beside those of this process */
export async function startSeeded(variables: Readonly<Record<string, string>> = {}): Promise<SeededExplorer> {
  const explorer = await explore(async (stateDir) => {
    const system = await startSystem({
      stateDir,
      env: { ...process.env, ...variables },
      scenario: "demo",
      report: () => {},
      workerEntry: join(import.meta.dirname, "seeding-worker.ts"),
    });
    return { url: system.url, token: system.token, api: new ApiClient(system), stop: () => system.stop() };
  });
  const { url } = explorer.up;
  const seed = async ({ sessions = [], statements = [] }: Partial<Seed>) => {
    const body = JSON.stringify({ sessions, statements } satisfies Seed);
    const response = await fetch(url + SEED_PATH, { method: "POST", body });
    if (!response.ok) throw new Error(`the seed was not stored: ${response.status} ${await response.text()}`);
  };
  return {
    ...explorer,
    seed,
    addOwner: async (ownerId) => {
      const { token, statement } = makeToken(ownerId, "explorer");
      await seed({ statements: [statement] });
      return { api: new ApiClient({ url, token }), token };
    },
  };
}
