import { env } from "cloudflare:workers";
import type { Env } from "../src/config.ts";
import type { Migration } from "../src/database/setup.ts";

export const bindings = env as unknown as Env & { readonly MIGRATIONS: readonly Migration[] };
