/**
 * Markdown that an agent wrote. Nothing of it runs: markup is text, links lead to http(s) only, with their target shown, and images are
 * named, not loaded.
 */
import { Component, memo, type ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { Scrollable } from "../ui/scrollable.tsx";
import { markdownBlocks } from "./markdown-blocks.ts";
import { namesTarget, safeLink } from "./safe-link.ts";

/** A longer block is shown as text: to lay it out would hold up the page. In UTF-16 code units. */
const MAX_BLOCK = 20_000;

const PLUGINS = [remarkGfm];

const COMPONENTS: Components = {
  a: ({ href, children }) => {
    const link = safeLink(href);
    if (link === undefined) {
      return (
        <>
          {children}
          {href !== undefined && href !== "" && <span className="m"> ({href})</span>}
        </>
      );
    }
    return (
      <>
        <a href={link.href} target="_blank" rel="noopener noreferrer nofollow" className="said-link">
          {children}
        </a>
        {!namesTarget(textOf(children), link) && <span className="m"> ({link.host})</span>}
      </>
    );
  },
  img: ({ src, alt }) => (
    <span className="m">
      [image{alt === undefined || alt === "" ? "" : `: ${alt}`}
      {typeof src === "string" && src !== "" && ` (${src.slice(0, 200)})`}]
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

function textOf(children: ReactNode): string {
  if (typeof children === "string") return children;
  return Array.isArray(children) ? children.map((child: ReactNode) => textOf(child)).join("") : "";
}

export function Markdown({ text }: { readonly text: string }) {
  let at = 0;
  return (
    <bdi className="said-text">
      {markdownBlocks(text).map((block) => {
        // Blocks are only added at the end, and the last one grows: where one begins does not change.
        const key = at;
        at += block.length + 1;
        return <Block key={key} text={block} />;
      })}
    </bdi>
  );
}

const Block = memo(function Block({ text }: { readonly text: string }) {
  const plain = <p className="whitespace-pre-wrap">{text}</p>;
  if (text.length > MAX_BLOCK) return plain;
  return (
    <OrPlain plain={plain}>
      <div dir="auto">
        <ReactMarkdown remarkPlugins={PLUGINS} components={COMPONENTS} urlTransform={(url) => url}>
          {text}
        </ReactMarkdown>
      </div>
    </OrPlain>
  );
});

/** Shows the text as it is when it cannot be rendered, for example because it is nested too deeply. */
class OrPlain extends Component<{ readonly plain: ReactNode; readonly children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError(): { hasFailed: boolean } {
    return { hasFailed: true };
  }

  override render(): ReactNode {
    return this.state.hasFailed ? this.props.plain : this.props.children;
  }
}
