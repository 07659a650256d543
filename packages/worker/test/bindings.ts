import { env } from "cloudflare:workers";
import type { Env } from "../src/env.ts";
import type { Migration } from "../src/setup.ts";

export const bindings = env as unknown as Env & { readonly MIGRATIONS: readonly Migration[] };
