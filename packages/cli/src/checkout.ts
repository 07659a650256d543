import { fileURLToPath } from "node:url";

/** The root of the checkout that this program is of. */
export const CHECKOUT = fileURLToPath(new URL("../../..", import.meta.url));
