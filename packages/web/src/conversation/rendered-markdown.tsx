/**
 * One block of Markdown, rendered. Nothing of it runs: markup is text, links lead to http(s) only, with their target shown, and images
 * are named, not loaded. `markdown.tsx` loads this file once there is Markdown to show.
 */
import { visibleText } from "@valet/shared/visible-text";
import type { ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { Scrollable } from "../ui/scrollable.tsx";
import { namesTarget, safeLink } from "./safe-link.ts";

const PLUGINS = [remarkGfm];

const COMPONENTS: Components = {
  a: ({ href, children }) => {
    const link = safeLink(href);
    if (link === undefined) {
      return (
        <>
          <bdi>{children}</bdi>
          {href !== undefined && href !== "" && <span className="m"> ({visibleText(href)})</span>}
        </>
      );
    }
    return (
      <>
        <a href={link.href} target="_blank" rel="noopener noreferrer nofollow" className="said-link">
          <bdi>{children}</bdi>
        </a>
        {!namesTarget(textOf(children), link) && <span className="m"> ({link.host})</span>}
      </>
    );
  },
  img: ({ src, alt }) => (
    <span className="m">
      [image{alt === undefined || alt === "" ? "" : `: ${visibleText(alt)}`}
      {typeof src === "string" && src !== "" && ` (${visibleText(src.slice(0, 200))})`}]
    </span>
  ),
  // Headings of an answer are none of the page.
  h1: ({ children }) => <p className="said-heading">{children}</p>,
  h2: ({ children }) => <p className="said-heading">{children}</p>,
  h3: ({ children }) => <p className="said-heading">{children}</p>,
  h4: ({ children }) => <p className="said-heading">{children}</p>,
  h5: ({ children }) => <p className="said-heading">{children}</p>,
  h6: ({ children }) => <p className="said-heading">{children}</p>,
  pre: ({ children }) => (
    <Scrollable as="pre" label="Code">
      {children}
    </Scrollable>
  ),
  table: ({ children }) => (
    <Scrollable label="Table" className="said-table">
      <table>{children}</table>
    </Scrollable>
  ),
  input: ({ checked }) => <span>{checked === true ? "[x] " : "[ ] "}</span>,
};

interface TextNode {
  readonly type: string;
  value?: string;
  readonly children?: readonly TextNode[];
}

/** Control characters, and those that change the direction of text. */
const ORDERS = /[\p{Bidi_C}\p{Cc}]/gu;

/** Shows the control characters that Markdown's entities (`&#x202e;`) stand for. The text that was written has none that misleads. */
function showEntities(written: string) {
  const visit = (node: TextNode): void => {
    if (node.value !== undefined) {
      node.value = node.value.replace(ORDERS, (order) => (written.includes(order) ? order : visibleText(order)));
    }
    node.children?.forEach(visit);
  };
  return () => visit;
}

function textOf(children: ReactNode): string {
  if (typeof children === "string") return children;
  return Array.isArray(children) ? children.map((child: ReactNode) => textOf(child)).join("") : "";
}

export default function RenderedMarkdown({ text }: { readonly text: string }) {
  return <div dir="auto">{rendered(text) ?? <p className="whitespace-pre-wrap">{text}</p>}</div>;
}

/** Returns what Markdown means; `undefined` for text that is nested too deeply to be read. */
function rendered(text: string): ReactNode {
  try {
    // A pure function that uses no hooks. As a component its error would be logged before it is caught.
    return ReactMarkdown({
      remarkPlugins: PLUGINS,
      rehypePlugins: [showEntities(text)],
      components: COMPONENTS,
      urlTransform: (url) => url,
      children: text,
    });
  } catch {
    return undefined;
  }
}
