"""Asterisk's modules that are loaded, in the order of loading: a module comes after those that it depends on."""

from __future__ import annotations

BASE_MODULES = (
    # Sorcery stores PJSIP's objects, in a file and in memory.
    "res_sorcery_config",
    "res_sorcery_memory",
    "res_sorcery_astdb",
    "res_timing_timerfd",
    "res_security_log",
    "pbx_config",
    "func_callerid",
    "func_channel",
    "func_cut",
    "func_groupcount",
    # `taxiphone doctor` uses this to check that the contexts exist.
    "func_dialplan",
    "func_logic",
    "func_strings",
    "func_timeout",
    "codec_alaw",
    "codec_ulaw",
    "codec_a_mu",
    "codec_g722",
    "codec_gsm",
    "codec_resample",
    "format_pcm",
    "format_gsm",
    "format_sln",
    "format_wav",
    # bridge_simple is omitted on purpose: see docs/adr/0011.
    "bridge_softmix",
    # A channel dialled by ARI waits in a holding bridge until it is answered.
    "bridge_holding",
    "res_rtp_asterisk",
    # copies of SIP messages and RTCP reports for the program (ari_app/hep.py)
    "res_hep",
    "res_hep_rtcp",
)
PJSIP_MODULES = (
    "res_pjproject",
    "res_geolocation",
    "res_statsd",
    "res_pjsip",
    "res_pjsip_session",
    "res_pjsip_sdp_rtp",
    "res_pjsip_caller_id",
    "res_pjsip_header_funcs",
    # Rejects a transfer with 603. Without it, a REFER gets no response, and the phone may hang up.
    "res_pjsip_refer",
    # Accepts an INFO without a body, which some carriers use as a keep-alive.
    "res_pjsip_empty_info",
    "res_pjsip_dtmf_info",
    "res_pjsip_nat",
    "res_pjsip_rfc3326",
    "res_pjsip_dlg_options",
    "res_pjsip_logger",
    "res_pjsip_acl",
    "res_pjsip_authenticator_digest",
    "res_pjsip_outbound_authenticator_digest",
    "res_pjsip_endpoint_identifier_ip",
    "res_pjsip_outbound_registration",
    "res_pjsip_pubsub",
    "chan_pjsip",
    "res_hep_pjsip",
)
APPLICATION_MODULES = (
    "res_speech",
    "res_agi",
    "app_playback",
    "app_mixmonitor",
    "res_http_websocket",
    "res_websocket_client",
    "res_stasis",
    "res_stasis_answer",
    "res_stasis_playback",
    "res_stasis_recording",
    "res_stasis_snoop",
    "res_ari",
    "res_ari_model",
    "res_ari_applications",
    "res_ari_asterisk",
    "res_ari_bridges",
    "res_ari_channels",
    "res_ari_endpoints",
    "res_ari_events",
    "res_ari_playbacks",
    "app_stasis",
    "chan_bridge_media",
    "res_cdrel_custom",
    "cel_custom",
)
MODULES = (*BASE_MODULES, *PJSIP_MODULES, *APPLICATION_MODULES)
