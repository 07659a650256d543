/**
 * How the state of a page stands in its URL: as plain text. The router's own way would write a text that looks like a number in quotes,
 * and read the span id `57171582e2699139` of a link that somebody wrote as an infinite number. Pure.
 */
import { parseSearchWith, stringifySearchWith } from "@tanstack/react-router";

/** A whole number without leading zeros, and `true`, come as such: `String` gives back what was written. */
export const parseSearch = parseSearchWith((text) => text);

export const stringifySearch = stringifySearchWith(JSON.stringify);
