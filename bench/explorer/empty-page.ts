/**
 * A page with nothing on it, as high as a long list: what it takes to show and to scroll it is what the browser and the machine take by
 * themselves.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const HTML = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Empty</title>
<style>body{margin:0}#list{height:100vh;overflow:auto;background:#fff}#list>div{height:1200000px}</style>
<div id="list"><div></div></div></html>`;

export interface EmptyPage {
  readonly url: string;
  close(): Promise<void>;
}

export async function serveEmptyPage(): Promise<EmptyPage> {
  const server = createServer((_request, response) => response.setHeader("content-type", "text/html").end(HTML));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => {
      server.closeAllConnections();
      return new Promise((closed) => server.close(() => closed()));
    },
  };
}
