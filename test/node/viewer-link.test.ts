import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readLink, readTitle } from "../../functions/console/page/link.ts";
import { screenUrl } from "../../functions/console/page/session-client.ts";

const TOKEN = "0b52fd5c-5bd5-4c61-9a4f-0f0ad8a8b4a1";
const ID = "6f1c9a42-3c1e-4b0e-9d55-2f6f0a7c1e11";
const PAGE = "https://edge.example/vnc_auto.html";
const tokenOf = (rest: string) => readLink(PAGE + rest).token;

describe("the token of a console link", () => {
  it.each([
    ["as Nova writes it", `?path=%3Ftoken%3D${TOKEN}`, TOKEN],
    ["in a path with a name before it", `?path=websockify%3Ftoken%3D${TOKEN}`, TOKEN],
    ["in a path that is not encoded", `?path=websockify?token=${TOKEN}`, TOKEN],
    ["in a path with more in it", `?path=${encodeURIComponent(`/x?a=1&token=${TOKEN}&b=2#token=z`)}`, TOKEN],
    ["in an absolute path", `?path=${encodeURIComponent(`wss://evil.example/?token=${TOKEN}`)}`, TOKEN],
    ["by itself", `?token=${TOKEN}`, TOKEN],
    ["in the fragment", `#token=${TOKEN}`, TOKEN],
    ["in the fragment as a path", `#path=%3Ftoken%3D${TOKEN}`, TOKEN],
    ["before Horizon's title", `?path=%3Ftoken%3D${TOKEN}&title=web-1(${ID})`, TOKEN],
    ["before a title that Horizon put into the fragment", `#token=${TOKEN}&title=web-1(${ID})`, TOKEN],
    ["as the last of several", `?token=a&path=%3Ftoken%3Db%26token%3Dc&token=${TOKEN}`, TOKEN],
    ["in the fragment rather than in the query", `?token=a#token=${TOKEN}`, TOKEN],
    ["before an empty one, which does not count", `?token=${TOKEN}&token=&path=%3Ftoken%3D`, TOKEN],
    ["nowhere", "", null],
    ["empty", "?token=&path=", null],
    ["in a path without a query", `?path=token%3D${TOKEN}`, null],
    ["under another name", `?xtoken=${TOKEN}&TOKEN=${TOKEN}`, null],
  ])("is found %s", (_where, rest, token) => {
    expect(tokenOf(rest)).toBe(token);
  });
});

describe("the WebSocket address", () => {
  it("is on the page's own host, with the page's security", () => {
    expect(screenUrl(new URL(PAGE), "t.1")).toBe("wss://edge.example/console/v1/screen?ticket=t.1");
    expect(screenUrl(new URL("http://[::1]:8787/vnc.html"), "t")).toBe("ws://[::1]:8787/console/v1/screen?ticket=t");
  });

  it("does not take credentials of the page's address, and keeps a hostile ticket inside the query", () => {
    expect(screenUrl(new URL("https://me:pw@edge.example/vnc.html"), "a&b#c/../d?e=f g")).toBe(
      "wss://edge.example/console/v1/screen?ticket=a%26b%23c%2F..%2Fd%3Fe%3Df%20g",
    );
  });
});

describe("the title", () => {
  it("splits Horizon's name(uuid)", () => {
    expect(readTitle(`web-1(${ID})`)).toEqual({ name: "web-1", id: ID });
    expect(readTitle(`db (blue)(${ID.toUpperCase()})`)).toEqual({ name: "db (blue)", id: ID });
    expect(readTitle(`(${ID})`)).toEqual({ name: ID, id: ID });
  });

  it("is a name when it has no uuid at its end", () => {
    expect(readTitle("web-1")).toEqual({ name: "web-1", id: null });
    expect(readTitle("web-1(blue)")).toEqual({ name: "web-1(blue)", id: null });
    expect(readTitle(`web-1(${ID}) x`)).toEqual({ name: `web-1(${ID}) x`, id: null });
  });

  it("is the first that is not blank", () => {
    expect(readLink(`${PAGE}?token=a&title=&title=mine&title=web-1(${ID})`).title).toEqual({ name: "mine", id: null });
    expect(readLink(`${PAGE}?token=a&title=%20`).title).toBeNull();
  });

  it("reads plus signs as spaces, and broken escapes without failing", () => {
    expect(readLink(`${PAGE}?title=my+server`).title?.name).toBe("my server");
    expect(readLink(`${PAGE}?title=%E0%A4%A&token=%`).title?.name).toContain("\ufffd");
  });

  it("loses control, direction and zero-width characters, line breaks, and excess length", () => {
    expect(readTitle("a\u202eb\u0000c\u200bd\ne").name).toBe("abcd e");
    expect([...readTitle("😀".repeat(1000)).name]).toHaveLength(300);
  });
});

describe("the address that stays in the bar", () => {
  it("keeps the title and nothing else", () => {
    const link = readLink(`${PAGE}?path=%3Ftoken%3D${TOKEN}&autoconnect=1&title=web-1(${ID})#token=${TOKEN}`);
    expect(link.cleanUrl).toBe(`${PAGE}?title=web-1%28${ID}%29`);
    expect(readLink(link.cleanUrl)).toMatchObject({ token: null, title: { name: "web-1", id: ID } });
  });

  it("is on the same origin even when the path starts with two slashes", () => {
    expect(readLink("https://edge.example//evil.example/vnc.html?token=a").cleanUrl).toBe(
      "https://edge.example//evil.example/vnc.html",
    );
  });

  it("never holds the token, and nothing throws, whatever the address", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (query, fragment) => {
        const link = readLink(`${PAGE}?${query}&token=${TOKEN}#${fragment}`);
        expect(link.token).not.toBeNull();
        const left = new URL(link.cleanUrl);
        expect([...left.searchParams.keys()].filter((key) => key !== "title")).toEqual([]);
        expect(left.hash).toBe("");
        expect(left.origin).toBe("https://edge.example");
      }),
    );
  });
});
