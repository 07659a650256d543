/** How many sandboxes a local system may have awake, and starting, at once. */
import type { MachineCapacity } from "@valet/sandbox";
import { UserError } from "../errors.ts";

/** The limits given on the command line. */
export type WantedCapacity = { readonly [K in keyof MachineCapacity]?: number | undefined };

const VARIABLES = { awake: "VALET_MAX_AWAKE", starting: "VALET_MAX_STARTING" } as const;

/**
 * Returns the limits of the command line, else of the environment (`VALET_MAX_AWAKE`, `VALET_MAX_STARTING`), else of
 * the machine. `starting` is at most `awake`.
 * @throws UserError when a variable is not a whole number above 0
 */
export function chooseCapacity(
  wanted: WantedCapacity,
  env: Readonly<Record<string, string | undefined>>,
  machine: MachineCapacity,
): MachineCapacity {
  const awake = wanted.awake ?? fromEnvironment(env, VARIABLES.awake) ?? machine.awake;
  const starting = wanted.starting ?? fromEnvironment(env, VARIABLES.starting) ?? machine.starting;
  return { awake, starting: Math.min(starting, awake) };
}

/** Returns the Worker's variables for these limits. */
export function capacityVariables({ awake, starting }: MachineCapacity): Record<string, string> {
  return { [VARIABLES.awake]: String(awake), [VARIABLES.starting]: String(starting) };
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>, name: string): number | undefined {
  const text = env[name];
  if (text === undefined || text === "") return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) throw new UserError(`${name} must be a whole number above 0.`);
  return number;
}
