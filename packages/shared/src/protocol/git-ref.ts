/** Validates names of branches, tags and commits. Pure. */

/**
 * Git refuses control characters and `~^:?*[\`, and also `..`, `//`, `@{`, a component that begins with a dot or ends with
 * `.lock`, a dot or slash at the end, and `@` alone.
 */
const GIT_REF = /^(?![-/.])(?!@$)(?!.*(?:\.\.|\/\/|@\{|\/\.|\.lock(?:\/|$)))[^\p{Cc} ~^:?*[\\]+(?<![/.])$/u;

/** Returns whether git accepts the name of a branch, tag or commit (git-check-ref-format), and no command reads it as an option. */
export function isGitRef(name: string): boolean {
  return GIT_REF.test(name);
}
