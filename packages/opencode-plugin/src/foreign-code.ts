/**
 * Keeps code of others out of OpenCode's process. OpenCode loads the plugins that a repository's configuration names at each
 * prompt, also where it is told to disregard that configuration (1.18.33, its "location services"). What it needs itself is
 * within its executable, and ours is loaded by now: whatever else is imported is somebody else's.
 */

/** Bun's, as far as it is needed: https://bun.com/docs/runtime/plugins */
interface Bundler {
  onLoad(
    what: { readonly filter: RegExp },
    load: (module: { readonly path: string }) => { readonly contents: string; readonly loader: "js" },
  ): unknown;
}
interface Runtime {
  plugin(plugin: { readonly name: string; setup(bundler: Bundler): void }): unknown;
}

/** Everything but what is within the executable. */
const FOREIGN = /^(?!\/\$bunfs\/)/;

/** From now on, no module that is a file is loaded. Does nothing where the runtime is not Bun. */
export function refuseForeignCode(): void {
  const { Bun } = globalThis as { Bun?: Runtime };
  Bun?.plugin({
    name: "valet",
    setup(bundler) {
      bundler.onLoad({ filter: FOREIGN }, ({ path }) => ({
        contents: `throw new Error(${JSON.stringify(`Valet runs no code of a repository that is not trusted: ${path}`)});`,
        loader: "js",
      }));
    },
  });
}
