import type { Command } from "commander";
import { CHECKOUT } from "../checkout.ts";
import { type GlobalOptions, print, printJson, report } from "../context.ts";
import { UserError } from "../errors.ts";

interface BuildOptions extends GlobalOptions {
  readonly tag: string;
  readonly base?: string;
}

const EXIT_CODES = "\nExit codes: 0 success; 2 usage or environment error.\n";
const ENGINE = "\nThe engine is Docker, or Podman's service: it is found by DOCKER_HOST, or at Docker's usual socket.";

export function addImage(program: Command): void {
  const image = program
    .command("image")
    .description("make the image of sandboxes in containers: build [--tag <name>] [--base <image>]")
    .addHelpText("after", `${EXIT_CODES}\nExample:\n  valet image build`);
  image
    .command("build")
    .description("build the image from this checkout, by the container engine")
    .option("--tag <name>", "the image's name", "valet-sandbox")
    .option("--base <image>", "an image with Node and npm to begin with; node:24-bookworm-slim if omitted")
    .addHelpText(
      "after",
      `${ENGINE}\n${EXIT_CODES}\nExample:\n  valet image build --tag registry.example.com/valet-sandbox`,
    )
    .action(async (_options, command: Command) => {
      const { tag, base, json } = command.optsWithGlobals<BuildOptions>();
      // Loaded here, since the other commands start sooner without it.
      const { buildImage } = await import("@valet/sandbox/image");
      await buildImage({ root: CHECKOUT, tag, base, onLine: (line) => report(line) }).catch((error: Error) => {
        throw new UserError(error.message);
      });
      if (json) printJson({ image: tag });
      else print(`Built ${tag}.`);
    });
}
