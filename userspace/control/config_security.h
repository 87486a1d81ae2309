/* Certificates and security policies of a configuration: see config.h, which is the header to include. */
#ifndef SLUICE_CONTROL_CONFIG_SECURITY_H
#define SLUICE_CONTROL_CONFIG_SECURITY_H

#include "control/config_errors.h"
#include "control/config_values.h"
#include <stdbool.h>
#include <stdint.h>

struct config_certificate {
	struct config_mark mark;
	char *name;
	char *directory_path; /* of pairs, absolute, as are all paths; NULL: one pair */
	char *cert_path, *key_path; /* of one pair in two files; else NULL */
	char *pkcs12_path; /* of one pair in one file; else NULL */
	char *key_password_path; /* NULL, as the next two: the key is not encrypted */
	char *key_password_env;
	char **key_password_command;
	uint32_t key_password_command_count;
	enum config_ocsp ocsp;
	char *ocsp_path; /* a response, of one pair; NULL: none */
};

struct config_security_policy {
	struct config_mark mark;
	char *name;
	char *based_on; /* has what is not given here */
	enum config_tls_version min_version, max_version;
	char **ciphers;
	uint32_t ciphers_count;
	char **suites;
	uint32_t suites_count;
	char **groups;
	uint32_t groups_count;
	char **signature_algorithms;
	uint32_t signature_algorithms_count;
	bool server_preference;
};

#endif
