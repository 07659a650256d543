/**
 * Hides this process from others of the same user. The kernel lets a user read the environment and the memory of all of its
 * processes, and debug them, unless they are "not dumpable" (prctl(2), PR_SET_DUMPABLE). OpenCode has the model's key and its own
 * password there, and starts the agent's commands as the same user. The setting ends with the next exec, so commands do not have it.
 */

/** The part of Bun's FFI that is used: https://bun.com/docs/runtime/ffi */
interface Ffi {
  dlopen(
    library: string,
    symbols: { readonly prctl: { readonly args: readonly string[]; readonly returns: string } },
  ): { readonly symbols: { prctl(option: number, ...rest: readonly number[]): number } };
}

/** Not a literal, since only Bun has the module. */
const FFI: string = "bun:ffi";
/** glibc, and musl on both kinds of processor. */
const LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];
const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;

/** Returns whether the process is hidden. Never rejects. */
export async function hideProcess(): Promise<boolean> {
  try {
    const { dlopen } = (await import(FFI)) as Ffi;
    const prctl = { args: ["int", "u64", "u64", "u64", "u64"], returns: "int" };
    for (const library of LIBRARIES) {
      try {
        const { symbols } = dlopen(library, { prctl });
        symbols.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        return symbols.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) === 0;
      } catch {
        // Another C library.
      }
    }
    return false;
  } catch {
    return false;
  }
}
