import { parseArgs } from "node:util";
import { z } from "zod";

/** What the program prints for `--help`. */
export const HELP = `valet-sandbox-broker [--state DIR] [--host HOST] [--port N] -- ENTRYPOINT [ARGUMENT…]

Runs sandboxes on this machine. In each it starts ENTRYPOINT, whose path must be absolute or in PATH.

  --state DIR   where sandboxes and snapshots are kept   VALET_BROKER_STATE   .valet/broker
  --host HOST   the address to listen on                 VALET_BROKER_HOST    127.0.0.1
  --port N      its port, 0 for a free one               VALET_BROKER_PORT    0
  --help        this text

VALET_BROKER_SECRET must be set: the bearer token of whoever may call, at least 16 characters.
`;

const PORT = "a port is a whole number from 0 to 65535";

const Settings = z.object({
  stateDir: z.string().min(1).default(".valet/broker"),
  host: z.string().min(1).default("127.0.0.1"),
  port: z.coerce.number(PORT).int(PORT).min(0, PORT).max(65_535, PORT).default(0),
  secret: z.string({ error: "VALET_BROKER_SECRET is not set" }),
  entrypoint: z.tuple([z.string({ error: "ENTRYPOINT is missing; see --help" })], z.string()),
});
export type Settings = z.infer<typeof Settings>;

/**
 * The program's settings from its arguments and, where those say nothing, its environment. `"help"` when that was asked for.
 * @throws Error that names what is wrong
 */
export function readSettings(args: readonly string[], env: Record<string, string | undefined>): Settings | "help" {
  const option = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { state: option, host: option, port: option, help: { type: "boolean" } },
    allowPositionals: true,
  });
  if (values.help) return "help";
  const result = Settings.safeParse({
    stateDir: values.state ?? env.VALET_BROKER_STATE,
    host: values.host ?? env.VALET_BROKER_HOST,
    port: values.port ?? env.VALET_BROKER_PORT,
    secret: env.VALET_BROKER_SECRET,
    entrypoint: positionals,
  });
  if (!result.success) throw new Error(z.prettifyError(result.error));
  return result.data;
}
