import { useEffect, useState } from "react";

import { SHORT_CHOICE } from "@/ui/controls";

interface DeviceChoiceProps {
  kind: "videoinput" | "audioinput";
  label: string;
  testId: string;
  /** The one in use. */
  value: string;
  onChoose: (deviceId: string) => void;
}

/** Which camera or microphone, once the browser tells their names; nothing where there is only one. */
export function DeviceChoice({ kind, label, testId, value, onChoose }: DeviceChoiceProps) {
  const [devices, setDevices] = useState<readonly MediaDeviceInfo[]>([]);
  useEffect(() => {
    const update = (): void => void listDevices(kind).then(setDevices, () => undefined);
    update();
    navigator.mediaDevices.addEventListener("devicechange", update);
    return () => navigator.mediaDevices.removeEventListener("devicechange", update);
  }, [kind, value]);
  if (devices.filter(({ deviceId }) => !ALIASES.includes(deviceId)).length < 2) return null;
  return (
    <select
      data-testid={testId}
      aria-label={label}
      title={label}
      className={`${SHORT_CHOICE} w-20`}
      value={value}
      onChange={(event) => onChoose(event.target.value)}
    >
      {devices.map((device) => (
        <option key={device.deviceId} value={device.deviceId}>
          {device.label}
        </option>
      ))}
    </select>
  );
}

const ALIASES = ["default", "communications"]; // Chromium lists what the system prefers once more, by these names

async function listDevices(kind: MediaDeviceKind): Promise<MediaDeviceInfo[]> {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === kind && device.deviceId !== "");
}
