//! Local IoT Hub, Device Provisioning Service and Device Update, without IO.
