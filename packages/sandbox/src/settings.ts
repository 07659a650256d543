import { parseArgs } from "node:util";
import { ISOLATIONS } from "@valet/shared/protocol/sandbox-broker";
import { SandboxLimits } from "@valet/shared/protocol/sandbox-limits";
import { SANDBOX_DRIVERS } from "@valet/shared/spans";
import { BROKER_VARIABLES, type BrokerVariable, type Variable } from "@valet/shared/variables";
import { z } from "zod";
import { readLimits } from "./local/limits/wanted-limits.ts";

/** The text of `--help`. */
export const HELP = `valet-sandbox-broker [OPTION…] -- ENTRYPOINT [ARGUMENT…]

Runs sandboxes, and ENTRYPOINT in each of them. ENTRYPOINT is an absolute path or a program in PATH.

  --driver NAME                                           VALET_BROKER_DRIVER  local
                 local: on this machine; docker: in containers; modal: at Modal
  --host HOST    the address to listen on                 VALET_BROKER_HOST    127.0.0.1
  --port N       the port, 0 for a free one               VALET_BROKER_PORT    0
  --help         print this text

Options of the driver local:
  --state DIR    the folder of sandboxes and snapshots    VALET_BROKER_STATE   .valet/broker
  --isolation KIND                                        VALET_BROKER_ISOLATION
                 bwrap: agents run behind a wall of bubblewrap; none: as this user. If omitted, bwrap where it works
  --max-sandboxes N                                       VALET_BROKER_MAX_SANDBOXES
                 sandboxes awake at once; limited by memory if omitted
Limits of each sandbox: VALET_SANDBOX_MEMORY_BYTES, VALET_SANDBOX_CPUS, VALET_SANDBOX_PROCESSES, VALET_SANDBOX_DISK_BYTES,
VALET_SANDBOX_OPEN_FILES.

Options of the driver docker, which finds the engine by DOCKER_HOST or at Docker's usual socket:
  --image IMAGE  made by \`valet image build\`            VALET_DOCKER_IMAGE   valet-sandbox
  --scope NAME   names this broker's sandboxes            VALET_DOCKER_SCOPE   valet
  --network NAME that sandboxes join                      VALET_DOCKER_NETWORK
                 If omitted, one of the scope's own
  --max-sandboxes N                                       VALET_BROKER_MAX_SANDBOXES
                 sandboxes awake at once; limited by memory if omitted

Options of the driver modal, which reads MODAL_TOKEN_ID and MODAL_TOKEN_SECRET:
  --app NAME     the Modal app of the sandboxes           VALET_MODAL_APP      valet
  --image IMAGE  an image's id or its registry tag        VALET_MODAL_IMAGE

VALET_BROKER_SECRET must be set: the bearer token that callers send, at least 16 characters. Several, separated by
commas, are all accepted. OTEL_SPAN_*_LIMIT and the other variables that limit spans apply.

Signals: SIGUSR2 drains it: no further sandboxes start, and those that run go on. SIGTERM and SIGINT end it.
`;

const LIMIT = "the number of sandboxes must be a whole number above 0";
const PORT = "the port must be a whole number from 0 to 65535";

const SCOPE = "the scope must be 1 to 41 small letters, digits and hyphens";

const server = {
  host: z.string().min(1),
  port: z.coerce.number(PORT).int(PORT).min(0, PORT).max(65_535, PORT),
  secret: z.string({ error: "VALET_BROKER_SECRET is not set" }),
  entrypoint: z.tuple([z.string({ error: "ENTRYPOINT is missing; see --help" })], z.string()),
};
/** An empty variable counts as not set. */
const required = (error: string) => z.string({ error }).min(1, error);

const Settings = z.discriminatedUnion(
  "driver",
  [
    z.object({
      driver: z.literal("local"),
      ...server,
      stateDir: z.string().min(1),
      isolation: z.enum(ISOLATIONS, `the isolation must be ${ISOLATIONS.join(" or ")}`).optional(),
      maxSandboxes: z.coerce.number(LIMIT).int(LIMIT).positive(LIMIT).optional(),
      limits: SandboxLimits.partial().optional(),
    }),
    z.object({
      driver: z.literal("docker"),
      ...server,
      image: z.string().min(1),
      scope: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/, SCOPE),
      network: z.string().min(1).optional(),
      maxSandboxes: z.coerce.number(LIMIT).int(LIMIT).positive(LIMIT).optional(),
      limits: SandboxLimits.partial().optional(),
    }),
    z.object({
      driver: z.literal("modal"),
      ...server,
      app: z.string().min(1),
      image: required("neither --image nor VALET_MODAL_IMAGE is given"),
      tokenId: required("MODAL_TOKEN_ID is not set"),
      tokenSecret: required("MODAL_TOKEN_SECRET is not set"),
    }),
  ],
  { error: `the driver must be ${SANDBOX_DRIVERS.join(" or ")}` },
);
export type Settings = z.infer<typeof Settings>;

/**
 * Returns the program's settings from its arguments and, for those that are missing, its environment; `"help"` for
 * `--help`.
 * @throws Error that says what is wrong
 */
export function readSettings(args: readonly string[], env: Record<string, string | undefined>): Settings | "help" {
  const option = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      driver: option,
      host: option,
      port: option,
      state: option,
      app: option,
      scope: option,
      network: option,
      image: option,
      "max-sandboxes": option,
      isolation: option,
      help: { type: "boolean" },
    },
    allowPositionals: true,
  });
  if (values.help) return "help";
  const read = (variable: BrokerVariable): string | number | undefined => {
    const { default: otherwise }: Variable = BROKER_VARIABLES[variable];
    return env[variable] || otherwise;
  };
  const driver = values.driver ?? read("VALET_BROKER_DRIVER");
  const result = Settings.safeParse({
    driver,
    stateDir: values.state ?? read("VALET_BROKER_STATE"),
    isolation: values.isolation ?? read("VALET_BROKER_ISOLATION"),
    maxSandboxes: values["max-sandboxes"] ?? read("VALET_BROKER_MAX_SANDBOXES"),
    limits: readLimits(env),
    app: values.app ?? read("VALET_MODAL_APP"),
    image: values.image ?? read(driver === "docker" ? "VALET_DOCKER_IMAGE" : "VALET_MODAL_IMAGE"),
    scope: values.scope ?? read("VALET_DOCKER_SCOPE"),
    network: values.network ?? read("VALET_DOCKER_NETWORK"),
    tokenId: read("MODAL_TOKEN_ID"),
    tokenSecret: read("MODAL_TOKEN_SECRET"),
    host: values.host ?? read("VALET_BROKER_HOST"),
    port: values.port ?? read("VALET_BROKER_PORT"),
    secret: read("VALET_BROKER_SECRET"),
    entrypoint: positionals,
  });
  if (!result.success) throw new Error(z.prettifyError(result.error));
  return result.data;
}
