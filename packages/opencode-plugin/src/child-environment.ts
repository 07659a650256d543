/** Keeps secrets out of the environments of child processes. */

type Environment = Readonly<Record<string, string | undefined>>;

interface SpawnOptions {
  readonly env?: Environment | undefined;
}

/** The part of Bun that starts processes: https://bun.com/docs/runtime/child-process. `node:child_process` calls it, too. */
interface Runtime {
  spawn: Spawn;
  spawnSync: Spawn;
  /** Its `env` sets the environment of every later command. */
  readonly $: { env(environment: Environment): unknown };
}
type Spawn = (first: readonly string[] | SpawnOptions, second?: SpawnOptions) => unknown;

/**
 * From now on child processes get this process's environment without the secrets, also where the caller names it. A variable that has
 * the name of a secret and another value is passed on.
 */
export function keepFromChildren(secrets: Environment, { Bun } = globalThis as { Bun?: Runtime }): void {
  if (Bun === undefined) return;
  const clean = (env: Environment = process.env) =>
    Object.fromEntries(Object.entries(env).filter(([name, value]) => value !== undefined && value !== secrets[name]));
  const cleaning =
    (spawn: Spawn): Spawn =>
    (first, second) =>
      Array.isArray(first)
        ? spawn(first, { ...second, env: clean(second?.env) })
        : spawn({ ...first, env: clean((first as SpawnOptions).env) });
  Bun.spawn = cleaning(Bun.spawn);
  Bun.spawnSync = cleaning(Bun.spawnSync);
  Bun.$.env(clean());
}
