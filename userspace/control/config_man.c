/* The manual page sluice.yaml(5) from the table of settings: see config.h. Language: mdoc(7). */
#include "control/config_settings.h"
#include "control/config_scalar.h"

static const char *const head =
	".\\\" Generated from userspace/control/settings.def by tools/gen-man: do not edit.\n"
	".Dd $Mdocdate$\n"
	".Dt SLUICE.YAML 5\n"
	".Os sluice\n"
	".Sh NAME\n"
	".Nm sluice.yaml\n"
	".Nd configuration of the TLS load balancer sluiced\n"
	".Sh DESCRIPTION\n"
	"One file in YAML (UTF-8) holds the whole configuration of\n"
	".Xr sluiced 8 .\n"
	"Every setting is listed here with its default.\n"
	"A setting that does not exist, is written twice, has a value of the wrong\n"
	"kind or out of range, or has no effect where it stands, is an error;\n"
	"all errors are reported in one run, each with line and column:\n"
	".Pp\n"
	".Dl sluiced --check sluice.yaml\n"
	".Pp\n"
	"A reload applies the whole file or nothing.\n"
	"Settings marked\n"
	".Em restart\n"
	"cannot be changed by a reload.\n"
	".Ss Values\n"
	".Bl -tag -width Ds\n"
	".It duration\n"
	"A number with a unit:\n"
	".Li 500ms , 10s , 5m , 2h , 1d .\n"
	".It size\n"
	"Bytes, or with a unit of 1024, 1024\\(ha2 or 1024\\(ha3 bytes:\n"
	".Li 512 , 64k , 10m , 1g .\n"
	".It percentage\n"
	"A number and a percent sign:\n"
	".Li 10% .\n"
	".It address\n"
	"An IP address and a port:\n"
	".Li 192.0.2.1:443\n"
	"or\n"
	".Li \\(dq[2001:db8::1]:443\\(dq ;\n"
	"YAML needs the quotes.\n"
	".It prefix\n"
	"An IP network:\n"
	".Li 192.0.2.0/24 , 2001:db8::/32 ;\n"
	"without a length a single address.\n"
	".It path\n"
	"A file; a relative path begins at the folder of the configuration file.\n"
	".It name\n"
	"Letters, digits,\n"
	".Sq - ,\n"
	".Sq _\n"
	"and\n"
	".Sq \\&. ,\n"
	"at most 63, the first a letter or digit.\n"
	"Unique within its list.\n"
	".It status codes\n"
	"HTTP status codes:\n"
	".Li 200 , 200-299\n"
	"or several with commas.\n"
	".El\n"
	".Pp\n"
	"A list of values may be written as one value if it has only one.\n"
	"Anchors, aliases and merge keys\n"
	".Pq Li \"<<: *name\"\n"
	"may be used.\n"
	".Sh SETTINGS\n";

static const char *const tail = ".Sh FILES\n"
				".Bl -tag -width Ds\n"
				".It Pa /etc/sluice/sluice.yaml\n"
				"The configuration.\n"
				".El\n"
				".Sh EXAMPLES\n"
				"A listener with one certificate and two targets:\n"
				".Bd -literal -offset indent\n"
				"certificates:\n"
				"  - {name: www, cert: tls/www.pem, key: tls/www.key}\n"
				"target_groups:\n"
				"  - name: web\n"
				"    protocol: http\n"
				"    targets:\n"
				"      - {address: 10.0.0.11:8080}\n"
				"      - {address: 10.0.0.12:8080}\n"
				"listeners:\n"
				"  - name: web\n"
				"    protocol: https\n"
				"    address: 0.0.0.0:443\n"
				"    certificates: www\n"
				"    target_group: web\n"
				".Ed\n"
				".Sh SEE ALSO\n"
				".Xr sluicectl 1 ,\n"
				".Xr sluiced 8\n";

/* Text without a meaning to roff: each sentence on its own line, as mdoc wants it, and no line
 * longer than 80 bytes. */
static void put_text(const char *text, FILE *out)
{
	size_t column = 0;

	for (char last = '\0'; *text; last = *text++) {
		if (*text == ' ' && (last == '.' || column + 1 + strcspn(text + 1, " ") > 78)) {
			fputc('\n', out);
			column = 0;
			continue;
		}
		if (column == 0 && (*text == '.' || *text == '\''))
			fputs("\\&", out);
		if (*text == '\\')
			fputs("\\e", out);
		else
			fputc(*text, out);
		column++;
	}
	fputc('\n', out);
}

static void put_words(const char *words, uint32_t only, FILE *out)
{
	struct slice word;
	bool first = true;

	for (uint32_t value = 0; config_word_next(&words, &word); value++) {
		if (only && !(only & 1u << value))
			continue;
		fprintf(out, "%s%.*s", first ? "" : ", ", (int)word.len, word.ptr);
		first = false;
	}
}

static void put_range(const struct setting *row, const char *kind, FILE *out)
{
	fprintf(out, "%s", kind);
	if (row->unit)
		fprintf(out, " of %s", row->unit);
	fputs(", ", out);
	config_print_number(row, row->min, out);
	fputs(" to ", out);
	config_print_number(row, row->max, out);
	if (row->zero)
		fprintf(out, ", or %s", row->zero);
}

static void put_type(const struct setting *row, FILE *out)
{
	static const char *const kinds[] = {
		[SETTING_BOOL] = "true or false",
		[SETTING_INT] = "number",
		[SETTING_DURATION] = "duration",
		[SETTING_SIZE] = "size",
		[SETTING_PERCENT] = "percentage",
		[SETTING_NAME] = "name",
		[SETTING_TEXT] = "text",
		[SETTING_HOSTNAME] = "host name",
		[SETTING_SERVER_NAME] = "server name",
		[SETTING_URL_PATH] = "path of a URL",
		[SETTING_BODY] = "text of any number of lines",
		[SETTING_PATH] = "path",
		[SETTING_INTERFACE] = "interface",
		[SETTING_ADDRESS] = "address",
		[SETTING_ENDPOINT] = "address or name",
		[SETTING_PREFIX] = "prefix",
		[SETTING_MATCHER] = "status codes",
		[SETTING_SECTION] = "settings",
	};

	if (row->list)
		fputs("list of: ", out);
	if (row->type == SETTING_ENUM)
		put_words(row->words, 0, out);
	else if (row->type == SETTING_REF)
		fprintf(out, "name of one of %s", config_sections[row->child].path);
	else if (row->type == SETTING_SECTION)
		fprintf(out, "%s, see %s", kinds[row->type], config_sections[row->child].path);
	else if (row->max && row->type <= SETTING_PERCENT)
		put_range(row, kinds[row->type], out);
	else
		fputs(kinds[row->type], out);
	if (row->max_items)
		fprintf(out, "; at most %u", row->max_items);
}

/* The row of "protocol" that an `only` of this section speaks of: a section without one of its own
 * belongs to a listener or a target group, whose words are the same. */
static const struct setting *protocol_row(enum setting_section section)
{
	return config_setting_find(section, SLICE("protocol"))
		       ?: config_setting_find(SECTION_config_listener, SLICE("protocol"));
}

static void put_setting(const struct setting *row, FILE *out)
{
	fprintf(out, ".It Ic %s\n", row->name);
	put_text(row->help, out);
	fputs(".br\n.Em Value :\n", out);
	put_type(row, out);
	fputs(".\n", out);
	if (row->def)
		fprintf(out, ".Em Default :\n.Li %s .\n", row->def);
	if (row->required)
		fputs(".Em Required .\n", out);
	if (row->only) {
		fputs(".Em Only for protocol\n", out);
		put_words(protocol_row(row->section)->words, row->only, out);
		fputs(".\n", out);
	}
	if (row->restart)
		fputs(".Em Restart .\n", out);
}

static void put_section(enum setting_section section, FILE *out)
{
	const char *path = config_sections[section].path;
	const struct setting *row;

	fprintf(out, ".Ss %s\\&\n", path[0] ? path : "Top level");
	put_text(config_sections[section].help, out);
	fputs(".Bl -tag -width Ds\n", out);
	for_each_setting(row, section) put_setting(row, out);
	fputs(".El\n", out);
}

void config_man_write(FILE *out)
{
	fputs(head, out);
	for (enum setting_section section = 0; section < SECTION_COUNT; section++)
		put_section(section, out);
	fputs(tail, out);
}
