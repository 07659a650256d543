/** The folder in which a person types a command. */

/**
 * Returns the current folder; that of the person if `pnpm --dir <Valet's folder> valet` has changed it, which pnpm says in `INIT_CWD`
 * to the script that it runs.
 */
export function userFolder(env: NodeJS.ProcessEnv = process.env, cwd = process.cwd()): string {
  const { npm_lifecycle_event: script, INIT_CWD: folder = "" } = env;
  return script === "valet" && folder !== "" ? folder : cwd;
}
