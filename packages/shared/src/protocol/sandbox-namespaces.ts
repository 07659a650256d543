/** What the broker tries, and the runner does, to limit which namespaces programs behind a wall of bubblewrap make. */

/**
 * A limit of the wall's user namespace (namespaces(7)), which like the others holds in every namespace below it, whatever limits
 * that one has itself.
 *
 * Whoever is root in a user namespace and has a control group namespace in it may mount the machine's control groups. It could then
 * change those that are its user's on the machine: lift the sandbox's limits and, as the machine's root, freeze processes of others.
 */
const ALWAYS = { max_cgroup_namespaces: 0 };

/**
 * Arguments for bubblewrap with which the wall's first process may set the limits, wherever `/proc/sys` is read-only. In that folder
 * everybody finds the files of the own user namespace, which only root there may write: what is around it stays closed.
 */
export const LIMITING_ARGUMENTS = [
  ...["--cap-add", "CAP_SYS_RESOURCE", "--bind-try", "/proc/sys/user", "/proc/sys/user"],
] as const;

/**
 * Returns the start of that process's shell script, which fails if it cannot set a limit that the kernel knows.
 * @param limits further ones, by their names
 */
export function limitingScript(limits: Readonly<Record<string, number>> = {}): string {
  const all = Object.entries({ ...ALWAYS, ...limits }).map(([name, limit]) => `${name}=${limit}`);
  return [
    `for each in ${all.join(" ")}; do file=/proc/sys/user/\${each%=*}`,
    `[ ! -e $file ] || echo \${each#*=} >$file || { echo "$file cannot be written" >&2; exit 1; }`,
    "done",
  ].join("; ");
}
