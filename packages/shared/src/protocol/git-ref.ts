/** Names of branches, tags and commits. Pure. */

/**
 * Control characters and `~^:?*[\` are refused by git, and so are `..`, `//`, `@{`, a part that begins with a dot or ends with
 * `.lock`, a dot or slash at the end, and `@` alone.
 */
const GIT_REF = /^(?![-/.])(?!@$)(?!.*(?:\.\.|\/\/|@\{|\/\.|\.lock(?:\/|$)))[^\p{Cc} ~^:?*[\\]+(?<![/.])$/u;

/** Whether git takes a name for a branch, tag or commit (git-check-ref-format), and no command takes it for an option. */
export function isGitRef(name: string): boolean {
  return GIT_REF.test(name);
}
