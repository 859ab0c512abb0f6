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
  }

  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, channel: WebSocket, options?: RfbOptions);
    /** CSS background of the area around the picture. */
    background: string;
    scaleViewport: boolean;
    focusOnClick: boolean;
    clipViewport: boolean;
    dragViewport: boolean;
    disconnect(): void;
    focus(options?: FocusOptions): void;
    /** A key by its X11 keysym; without `down`, a press and a release. */
    sendKey(keysym: number, code: string | null, down?: boolean): void;
    sendCtrlAltDel(): void;
    addEventListener<K extends keyof RfbEventMap>(type: K, listener: (event: RfbEventMap[K]) => void): void;
  }
}
