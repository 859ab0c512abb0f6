/**
 * The little XML that libvirt's documents need: text put in safely, and elements taken out by path.
 *
 * Not a general parser: no DTD, no namespaces, entities of XML's core only. libvirt writes canonical XML by libxml2,
 * where `<` and `&` never stand bare in text or attributes, so markup is found by its brackets alone.
 */

// Characters that XML 1.0 cannot carry at all, not even escaped (production 2, Char), as one class.
const FORBIDDEN = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;
const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };
const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** `text` for use between tags or in a quoted attribute; what XML cannot carry becomes U+FFFD. */
export function escapeXml(text: string): string {
  return text.replace(FORBIDDEN, "\ufffd").replace(/[&<>"']/g, (c) => ESCAPES[c] ?? c);
}

function unescapeXml(text: string): string {
  return text.replace(/&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(\w+));/g, (whole, hex, dec, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const point = hex === undefined ? Number.parseInt(dec, 10) : Number.parseInt(hex, 16);
    return point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd";
  });
}

/**
 * `path` is the names from the root on, as `domain/devices/graphics`. `start` and `end` are where the element, its tags
 * with it, lies in the document.
 */
export type Element = {
  path: string;
  attributes: Record<string, string>;
  text: string;
  parent: Element | null;
  start: number;
  end: number;
};

// A comment, CDATA, or instruction is skipped whole, so that nothing inside it can look like an element.
const MARKUP =
  /<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>|<\?[\s\S]*?\?>|<(\/?)([\w:.-]+)((?:\s+[\w:.-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/g;
const ATTRIBUTE = /([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;

/** All elements of a document, in document order. Broken markup gives fewer elements, never a throw. */
export function readElements(xml: string): Element[] {
  const elements: Element[] = [];
  let open = null as Element | null;
  let textFrom = 0;
  for (const match of xml.matchAll(MARKUP)) {
    const [markup, closing, name, attributes = "", empty] = match;
    if (name === undefined) continue;
    if (open) open.text += unescapeXml(xml.slice(textFrom, match.index)).trim();
    textFrom = match.index + markup.length;
    if (closing) {
      if (open) open.end = textFrom;
      open = open?.parent ?? null;
      continue;
    }
    const element: Element = {
      path: open ? `${open.path}/${name}` : name,
      attributes: Object.fromEntries(
        [...attributes.matchAll(ATTRIBUTE)].map(([, key, double, single]) => [
          key,
          unescapeXml(double ?? single ?? ""),
        ]),
      ),
      text: "",
      parent: open,
      start: match.index,
      end: textFrom,
    };
    elements.push(element);
    if (!empty) open = element;
  }
  return elements;
}
