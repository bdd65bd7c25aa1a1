//! Device Provisioning Service and IoT Hub device protocol over MQTT 3.1.1, without IO.
#![no_std]
