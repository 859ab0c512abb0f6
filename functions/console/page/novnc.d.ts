/** The part of noVNC's RFB class that the viewer uses; the package ships no types. Source: its docs/API.md. */
declare module "@novnc/novnc" {
  export interface RfbOptions {
    shared?: boolean;
  }

  export interface RfbEventMap {
    connect: CustomEvent<object>;
    disconnect: CustomEvent<{ clean: boolean }>;
    credentialsrequired: CustomEvent<{ types: string[] }>;
    securityfailure: CustomEvent<{ status: number; reason?: string }>;
    serververification: CustomEvent<{ type: string }>;
    desktopname: CustomEvent<{ name: string }>;
    /** The guest copied a text. */
    clipboard: CustomEvent<{ text: string }>;
  }

  /** What noVNC needs of a WebSocket or of what stands in for one: `rawChannelProps` in its core/websock.js. */
  export interface RawChannel {
    binaryType: string;
    readonly protocol: string;
    readonly readyState: number;
    onopen: ((event: Event) => void) | null;
    onmessage: ((event: MessageEvent) => void) | null;
    onerror: ((event: Event) => void) | null;
    onclose: ((event: { code: number; reason: string }) => void) | null;
    send(data: Uint8Array<ArrayBuffer>): void;
    close(): void;
  }

  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, channel: RawChannel, options?: RfbOptions);
    /** CSS background of the area around the picture. */
    background: string;
    /** Neither keys nor the pointer nor the clipboard go to the server. */
    viewOnly: boolean;
    scaleViewport: boolean;
    /** Asks the server for a screen of the size of the area, now and whenever that changes. */
    resizeSession: boolean;
    focusOnClick: boolean;
    clipViewport: boolean;
    dragViewport: boolean;
    /** JPEG quality, 0 … 9. */
    qualityLevel: number;
    /** 0 … 9. */
    compressionLevel: number;
    disconnect(): void;
    focus(options?: FocusOptions): void;
    /** A key by its X11 keysym and its `KeyboardEvent.code`; without `down`, a press and a release. */
    sendKey(keysym: number, code: string | null, down?: boolean): void;
    clipboardPasteFrom(text: string): void;
    toBlob(done: (picture: Blob | null) => void, type?: string): void;
    addEventListener<K extends keyof RfbEventMap>(type: K, listener: (event: RfbEventMap[K]) => void): void;
  }
}
