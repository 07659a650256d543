/**
 * Keeps foreign code out of OpenCode's process. OpenCode loads the plugins that a repository's configuration names at
 * each prompt, even when it is configured to ignore that configuration (1.18.33, its "location services"). OpenCode's
 * own modules are inside its executable, and Valet's plugin is already loaded, so every other import is foreign.
 */

/** The part of Bun's plugin API that is used: https://bun.com/docs/runtime/plugins */
interface Bundler {
  onLoad(
    what: { readonly filter: RegExp },
    load: (module: { readonly path: string }) => { readonly contents: string; readonly loader: "js" },
  ): unknown;
}
interface Runtime {
  plugin(plugin: { readonly name: string; setup(bundler: Bundler): void }): unknown;
}

/** Every module outside the executable. */
const FOREIGN = /^(?!\/\$bunfs\/)/;

/** Refuses to load modules from files from now on. Does nothing in other runtimes than Bun. */
export function refuseForeignCode(): void {
  const { Bun } = globalThis as { Bun?: Runtime };
  Bun?.plugin({
    name: "valet",
    setup(bundler) {
      bundler.onLoad({ filter: FOREIGN }, ({ path }) => ({
        contents: `throw new Error(${JSON.stringify(`Valet does not run code of an untrusted repository: ${path}`)});`,
        loader: "js",
      }));
    },
  });
}
