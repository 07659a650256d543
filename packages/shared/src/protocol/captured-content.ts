/** The bounds of content that spans hold if it is captured. */
import { z } from "zod";

/** The default length of one attribute with content, in bytes of UTF-8. */
export const CONTENT_MAX_BYTES = 16_384;

/** Less than the smallest would hold no message; a span with several of the largest still fits into a frame of the link. */
export const ContentMaxBytes = z.int().min(256).max(65_536);
